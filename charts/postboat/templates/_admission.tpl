{{/* Admission policies by the end of their names: what the operator may write of each kind of child, and of pods. */}}
{{- define "postboat.childPolicies" -}}
children:
  rules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [configmaps, secrets, services, serviceaccounts]
      operations: [CREATE, UPDATE, DELETE]
    - apiGroups: [apps]
      apiVersions: [v1]
      resources: [statefulsets]
      operations: [CREATE, UPDATE, DELETE]
    - apiGroups: [networking.k8s.io]
      apiVersions: [v1]
      resources: [networkpolicies]
      operations: [CREATE, UPDATE, DELETE]
    - apiGroups: [policy]
      apiVersions: [v1]
      resources: [poddisruptionbudgets]
      operations: [CREATE, UPDATE, DELETE]
  variables:
    - name: written
      expression: "request.operation == 'DELETE' ? oldObject : object"
    - name: instance
      expression: >-
        variables.written.metadata.?labels[?'app.kubernetes.io/instance']
        .or(variables.written.metadata.?labels[?'postboat.dev/server']).orValue('')
  validations:
    - expression: >-
        variables.written.metadata.?labels[?'app.kubernetes.io/managed-by'].orValue('') == 'postboat'
      message: the operator writes only objects with the label app.kubernetes.io/managed-by=postboat
    - expression: >-
        request.operation == 'CREATE' ||
        oldObject.metadata.?labels[?'app.kubernetes.io/managed-by'].orValue('') == 'postboat' ||
        oldObject.metadata.?ownerReferences.orValue([]).exists(owner,
        owner.kind == 'MailServer' && owner.apiVersion.startsWith('postboat.dev/'))
      message: the operator changes and deletes only objects of a mail platform
    - expression: >-
        variables.instance != '' && (variables.written.metadata.name.startsWith(variables.instance + '-') ||
        (request.resource.resource == 'secrets' && variables.written.metadata.name.endsWith('-dkim')))
      message: the operator writes only objects named after their MailServer, and Secrets of DKIM keys
    - expression: "!request.namespace.startsWith('kube-')"
      message: the operator serves no namespace whose name begins with kube-
secrets:
  rules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [secrets]
      operations: [CREATE, UPDATE]
  validations:
    - expression: "object.type == 'Opaque'"
      message: the operator writes only Secrets of type Opaque
serviceaccounts:
  rules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [serviceaccounts]
      operations: [CREATE, UPDATE]
  validations:
    - expression: >-
        object.metadata.name == object.metadata.labels['app.kubernetes.io/instance'] + '-mail' &&
        object.?automountServiceAccountToken.orValue(true) == false && (!has(object.secrets) ||
        (request.operation == 'UPDATE' && has(oldObject.secrets) && oldObject.secrets == object.secrets)) &&
        (request.operation == 'UPDATE' ?
        object.metadata.?annotations.orValue({}) == oldObject.metadata.?annotations.orValue({}) :
        !has(object.metadata.annotations))
      message: the operator makes one ServiceAccount for mail pods, which mounts no token and has no annotations
services:
  rules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [services]
      operations: [CREATE, UPDATE]
  variables:
    # What somebody else has put there may stay for the moment: the operator takes it out by a second request.
    - name: before
      expression: "request.operation == 'UPDATE' ? [oldObject.spec] : []"
  validations:
    - expression: >-
        (object.spec.type in ['ClusterIP', 'NodePort', 'LoadBalancer'] ||
        variables.before.exists(old, old.type == object.spec.type)) &&
        (size(object.spec.?externalIPs.orValue([])) == 0 ||
        variables.before.exists(old, old.?externalIPs.orValue([]) == object.spec.?externalIPs.orValue([]))) &&
        object.spec.?selector[?'app.kubernetes.io/name'].orValue('') == 'postboat'
      message: the operator makes no Service with external IPs or an external name, nor for other pods than its own
statefulsets:
  rules:
    - apiGroups: [apps]
      apiVersions: [v1]
      resources: [statefulsets]
      operations: [CREATE, UPDATE]
  variables:
    - name: pod
      expression: "object.spec.template.spec"
    - name: containers
      expression: "variables.pod.containers + variables.pod.?initContainers.orValue([])"
    # What somebody else has put there may stay for the moment: the operator takes it out by a second request.
    - name: before
      expression: "request.operation == 'UPDATE' ? [oldObject.spec.template.spec] : []"
    - name: standing
      expression: >-
        request.operation == 'UPDATE' ? oldObject.spec.template.spec.containers +
        oldObject.spec.template.spec.?initContainers.orValue([]) : []
  validations:
    - expression: >-
        (!variables.pod.?hostNetwork.orValue(false) ||
        variables.before.exists(old, old.?hostNetwork.orValue(false))) &&
        (!variables.pod.?hostPID.orValue(false) || variables.before.exists(old, old.?hostPID.orValue(false))) &&
        (!variables.pod.?hostIPC.orValue(false) || variables.before.exists(old, old.?hostIPC.orValue(false))) &&
        variables.pod.?automountServiceAccountToken.orValue(true) == false &&
        variables.pod.?serviceAccountName.orValue('') == object.metadata.labels['app.kubernetes.io/instance'] + '-mail'
      message: mail pods use no host namespace, and the ServiceAccount of their platform without its token
    - expression: >-
        variables.pod.?volumes.orValue([]).all(volume, has(volume.emptyDir) || (has(volume.projected) &&
        volume.projected.?sources.orValue([]).all(source, has(source.configMap) || has(source.secret))) ||
        variables.before.exists(old, old.?volumes.orValue([]).exists(one, one == volume)))
      message: mail pods mount ConfigMaps, Secrets, empty folders and volume claims only
    {{- $images := list }}
    {{- range $name, $reference := .Values.images }}
    {{- $images = append $images (default (printf "postboat/%s:%s" $name $.Chart.AppVersion) $reference) }}
    {{- end }}
    - expression: {{ printf "variables.containers.all(container, container.image in %s || variables.standing.exists(one, one.name == container.name && one.image == container.image))" ($images | toJson) | quote }}
      message: mail pods run the images that the chart names
    - expression: >-
        variables.containers.all(container, (has(container.securityContext) &&
        !container.securityContext.?privileged.orValue(false) &&
        container.securityContext.?allowPrivilegeEscalation.orValue(true) == false &&
        container.securityContext.?readOnlyRootFilesystem.orValue(false) &&
        container.securityContext.?capabilities.?drop.orValue([]).exists(one, one == 'ALL') &&
        container.securityContext.?capabilities.?add.orValue([]).all(one,
        one in ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'SETGID', 'SETUID']) &&
        container.?ports.orValue([]).all(port, !has(port.hostPort) || port.hostPort == 0)) ||
        variables.standing.exists(one, one == container))
      message: mail pods are not privileged and add no capability beyond those of Postfix
{{- if .Values.touchPods }}
pods:
  rules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [pods]
      operations: [UPDATE]
  variables:
    - name: before
      expression: "oldObject.metadata.?annotations.orValue({})"
    - name: after
      expression: "object.metadata.?annotations.orValue({})"
  validations:
    - expression: >-
        object.spec == oldObject.spec &&
        object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({}) &&
        object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([]) &&
        object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([])
      message: the operator changes nothing of a pod but its annotations
    - expression: "oldObject.metadata.?labels[?'app.kubernetes.io/managed-by'].orValue('') == 'postboat'"
      message: the operator changes only the pods of mail platforms
    - expression: >-
        variables.after.all(name, name.startsWith('postboat.dev/digest-') ||
        (name in variables.before && variables.before[name] == variables.after[name])) &&
        variables.before.all(name, name in variables.after)
      message: the operator changes only the annotations postboat.dev/digest-CONTAINER of a pod
{{- end }}
{{- end -}}

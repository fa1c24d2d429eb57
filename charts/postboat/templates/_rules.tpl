{{/*
Everything the operator may do in a namespace it serves, and why. docs/security.md has the same table in prose.
*/}}
{{- define "postboat.rules" -}}
# What users write: read, never changed.
- apiGroups: [postboat.dev]
  resources: [mailservers, maildomains, mailboxes, mailaddresses, connectors, relayhosts, filterpolicies]
  verbs: [get, list, watch]
# One field of one kind is the exception: the finalizer of a Mailbox whose mail is to be erased with it. RBAC cannot name
# a field; templates/admission.yaml does.
- apiGroups: [postboat.dev]
  resources: [mailboxes]
  verbs: [patch]
# Where the operator answers: conditions, usage, DNS records.
- apiGroups: [postboat.dev]
  resources:
    - mailservers/status
    - maildomains/status
    - mailboxes/status
    - mailaddresses/status
    - connectors/status
    - relayhosts/status
    - filterpolicies/status
  verbs: [patch]
# Children block the deletion of their MailServer, so that it ends after its pods (kubectl delete --cascade=foreground).
# Only with this right may the operator say so, where the plugin OwnerReferencesPermissionEnforcement is on (OpenShift).
- apiGroups: [postboat.dev]
  resources: [mailservers/finalizers]
  verbs: [update]
# Children: created and corrected by server-side apply (create, patch), pruned (delete), and their metadata watched by
# label for what others change.
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Children too (tables, keys, certificates), and the passwords and keys that users reference. RBAC knows no label
# selector, so list and watch cannot be narrowed here. The operator lists its own by label as metadata, watches whole
# only what is labelled postboat.dev/watch=true, and reads the rest one by one by the names that resources give.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
# Which replicas are there; the patch writes annotations only, which make the kubelet bring new files at once.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch{{ if .Values.touchPods }}, patch{{ end }}]
# Which claims have lost their pods, so that mail on them is told; their metadata is watched by label.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch]
# Why a pod is not there: what a StatefulSet or a claim was refused stands nowhere else.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Events on transitions; the patch counts up the series of one that comes again.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

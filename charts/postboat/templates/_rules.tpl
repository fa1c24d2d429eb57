{{/*
Everything the operator may do in a namespace it serves, and why. docs/security.md has the same table in prose.
*/}}
{{- define "postboat.rules" -}}
# What users write: read, never changed.
- apiGroups: [postboat.dev]
  resources: [mailservers, maildomains, mailboxes, mailaddresses, connectors, relayhosts, filterpolicies]
  verbs: [get, list, watch]
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
# Owner references that block the owner's deletion need this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [postboat.dev]
  resources: [mailservers/finalizers]
  verbs: [update]
# Rendered configuration, its Services and the pods' own account (which has no rights).
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Rendered tables, keys and certificates; passwords and keys that users reference. RBAC knows no label selector, so
# list and watch cannot be narrowed here; the operator itself lists by label only and reads the rest one by one by name.
- apiGroups: [""]
  resources: [secrets]
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
# Reads which replicas are there; the patch is one annotation, which makes the kubelet bring new files at once.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
# Reads whether the volumes are bound; the patch grows a claim when the resource asks for more.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

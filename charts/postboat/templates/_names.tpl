{{- define "postboat.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough that the longest suffix of this chart still fits into 63 characters. */}}
{{- define "postboat.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "postboat.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "postboat.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "postboat.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Names of cluster-wide objects carry the namespace: two releases of one name never fight over them. */}}
{{- define "postboat.clusterName" -}}
{{- printf "%s-%s" (include "postboat.namespace" .) (include "postboat.fullname" .) -}}
{{- end -}}

{{- define "postboat.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "postboat.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The component keeps this selector off the mail pods, which share the name. */}}
{{- define "postboat.selector" -}}
app.kubernetes.io/name: postboat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "postboat.labels" -}}
{{ include "postboat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "postboat.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Networks that mail pods do not reach as if they were the internet: those stated, else the API server's addresses. */}}
{{- define "postboat.clusterNetworks" -}}
{{- $networks := .Values.clusterNetworks -}}
{{- if not $networks -}}
{{- $networks = list -}}
{{- range dig "spec" "clusterIPs" list (lookup "v1" "Service" "default" "kubernetes") }}
{{- $networks = append $networks (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) -}}
{{- end -}}
{{- range dig "items" list (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "") }}
{{- if eq (dig "labels" "kubernetes.io/service-name" "" .metadata) "kubernetes" -}}
{{- range .endpoints }}{{ range .addresses }}
{{- $networks = append $networks (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) -}}
{{- end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "," ($networks | uniq | sortAlpha) -}}
{{- end -}}

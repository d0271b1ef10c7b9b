{{- define "qn.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-scoped objects carry the namespace too: two releases of one name do not fight over them. */}}
{{- define "qn.clusterName" -}}
{{- printf "%s.%s" (include "qn.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/* Of the policy and of its binding, after the meaning of both: comments and the order of fields change nothing. */}}
{{- define "qn.admissionName" -}}
{{- printf "%s.%s" (include "qn.clusterName" .) (include "qn.admissionHash" (include "qn.admissionPolicySpec" .)) -}}
{{- end -}}

{{- define "qn.restoreAdmissionName" -}}
{{- printf "%s.restores.%s" (include "qn.clusterName" .) (include "qn.admissionHash" (include "qn.restoreAdmissionPolicySpec" .)) -}}
{{- end -}}

{{/* Of what a policy says, and its binding. */}}
{{- define "qn.admissionHash" -}}
{{- $specs := list (. | fromYaml) (include "qn.admissionBindingSpec" . | fromYaml) -}}
{{- toJson $specs | sha256sum | trunc 8 -}}
{{- end -}}

{{- define "qn.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "qn.labels" -}}
{{ include "qn.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "qn.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The watched namespaces as a JSON list; empty means all of them. */}}
{{- define "qn.watchedNamespaces" -}}
{{- if and .Values.watch.allNamespaces .Values.watch.namespaces -}}
{{- fail "watch.namespaces lists namespaces and watch.allNamespaces asks for all of them: set only one of the two." -}}
{{- else if .Values.watch.allNamespaces -}}
[]
{{- else -}}
{{- .Values.watch.namespaces | default (list .Release.Namespace) | sortAlpha | toJson -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do, once, for the Roles and for the ClusterRole. No Secret, ConfigMap, exec or log is in it. */}}
{{- define "qn.operatorRules" -}}
- apiGroups: [backup.quotenode.io]
  resources: [quotenodebackups]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [backup.quotenode.io]
  resources: [quotenoderestores]
  verbs: [get, list, watch, patch]
- apiGroups: [backup.quotenode.io]
  resources: [quotenodebackups/status, quotenoderestores/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, create, update]
# Offline backups stop and start the application: nothing else of a workload can be changed.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, patch]
# Only the StatefulSet itself says whether its claims are deleted when it is scaled down.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
# There is no such resource: this right exempts from the admission policy. The operator makes the runs of schedules whose authors were asked.
- apiGroups: [admission.backup.quotenode.io]
  resources: [exemptions]
  verbs: [use]
{{- end -}}

{{/* Names end in a part of their own, and a pod's name may have 63 characters. */}}
{{- define "penstock.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Takes a dict: root, component. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: penstock
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes a dict: root, component. */}}
{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "penstock.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "penstock.keep" -}}
{{- if .Values.keepData -}}
annotations:
  helm.sh/resource-policy: keep
{{- end -}}
{{- end -}}

{{- define "penstock.claim" -}}
{{- .Values.state.existingClaim | default (printf "%s-state" (include "penstock.name" .)) -}}
{{- end -}}

{{- define "penstock.tokens" -}}
{{- .Values.dashboard.tokens.secret | default (printf "%s-dashboard" (include "penstock.name" .)) -}}
{{- end -}}

{{/* What "restricted" pod security asks of a pod. Takes the user's number. */}}
{{- define "penstock.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What it asks of a container. */}}
{{- define "penstock.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What every pod of Penstock's own image has in common. */}}
{{- define "penstock.pod" -}}
serviceAccountName: {{ include "penstock.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "penstock.podSecurity" 10001 | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A volume that one node of the cluster can mount keeps those who share it together. */}}
{{- define "penstock.together" -}}
{{- if eq .Values.state.accessMode "ReadWriteOnce" }}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            app.kubernetes.io/name: penstock
            app.kubernetes.io/instance: {{ .Release.Name }}
          matchExpressions:
            - key: app.kubernetes.io/component
              operator: In
              values: [dashboard, scheduler]
{{- end }}
{{- end -}}

{{/* Where the store is. Kubernetes puts the password in; no manifest holds it. */}}
{{- define "penstock.storeEnv" -}}
{{- if .Values.database.bundled -}}
- name: PENSTOCK_DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "penstock.name" . }}-database
      key: password
- name: PENSTOCK_STORE
  value: postgresql://penstock:$(PENSTOCK_DATABASE_PASSWORD)@{{ include "penstock.name" . }}-database:5432/penstock
{{- else -}}
- name: PENSTOCK_STORE
  valueFrom:
    secretKeyRef:
      name: {{ required "database.url.secret: with database.bundled false, name the secret that holds the database's URL" .Values.database.url.secret }}
      key: {{ .Values.database.url.key }}
{{- end -}}
{{- end -}}

{{/* The environment of those who run pipelines. */}}
{{- define "penstock.env" -}}
{{ include "penstock.storeEnv" . }}
{{- with .Values.objectStore.s3.secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: AWS_ACCESS_KEY_ID
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: AWS_SECRET_ACCESS_KEY
{{- end }}
{{- with .Values.objectStore.google.secret }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: /var/run/penstock/google/{{ $.Values.objectStore.google.key }}
{{- end }}
{{- range $name, $entry := .Values.secretEnv }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $entry.secret }}
      key: {{ $entry.key }}
{{- end }}
{{- end -}}

{{- define "penstock.mounts" -}}
- name: temporary
  mountPath: /tmp
- name: state
  mountPath: /project/.penstock
{{- if .Values.objectStore.google.secret }}
- name: google
  mountPath: /var/run/penstock/google
  readOnly: true
{{- end }}
{{- end -}}

{{- define "penstock.volumes" -}}
- name: temporary
  emptyDir:
    sizeLimit: {{ .Values.temporaryStorage }}
- name: state
  persistentVolumeClaim:
    claimName: {{ include "penstock.claim" . }}
{{- with .Values.objectStore.google.secret }}
- name: google
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* Holds a pod back until the migration has made the store's tables. */}}
{{- define "penstock.waitForStore" -}}
- name: store
  image: {{ include "penstock.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [penstock, store, check, --wait, 10m]
  env:
    {{- include "penstock.storeEnv" . | nindent 4 }}
  securityContext:
    {{- include "penstock.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {cpu: "1", memory: 512Mi}
  volumeMounts:
    - name: temporary
      mountPath: /tmp
{{- end -}}

{{/* The port of the S3 server, for the network policy. */}}
{{- define "penstock.s3Port" -}}
{{- $url := urlParse (.Values.objectStore.s3.endpoint | default "https://default") -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end -}}

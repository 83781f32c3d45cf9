{{- define "statmux.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "statmux.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{ include "statmux.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "statmux.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Pods that KubeRay makes for this cluster. */ -}}
{{- define "statmux.rayPods" -}}
ray.io/cluster: {{ include "statmux.fullname" . }}
{{- end -}}

{{- define "statmux.headPod" -}}
{{ include "statmux.rayPods" . }}
ray.io/node-type: head
{{- end -}}

{{- define "statmux.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "statmux.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- /* Takes a dict of root and tag. */ -}}
{{- define "statmux.image" -}}
{{- $image := .root.Values.image -}}
{{- if and $image.digest (not .tag) -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (coalesce .tag $image.tag .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "statmux.tokenSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-tokens" (include "statmux.fullname" .)) -}}
{{- end -}}

{{- /* The token that Prometheus shows: the first that may read metrics, and only if there is none an admin's. */ -}}
{{- define "statmux.metricsToken" -}}
{{- $found := "" -}}
{{- range $scope := list "metrics" "admin" -}}
{{- range $.Values.auth.tokens -}}
{{- if and (not $found) (has $scope (.scopes | default list)) (or (eq $scope "admin") (not (has "admin" .scopes))) -}}
{{- $found = .name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- end -}}

{{- define "statmux.drainSeconds" -}}
{{- add .Values.drain.readinessLeadSeconds .Values.drain.gracefulShutdownSeconds -}}
{{- end -}}

{{- /* Ends of groups and of Ray come after the drain. */ -}}
{{- define "statmux.graceSeconds" -}}
{{- add (include "statmux.drainSeconds" .) 25 -}}
{{- end -}}

{{- define "statmux.fleet" -}}
{{- dig "metadata" "name" (include "statmux.fullname" .) .Values.deployment -}}
{{- end -}}

{{- /* Front ends give their metrics at ports.metrics and the ones after it. */ -}}
{{- define "statmux.frontEnds" -}}
{{- dig "serving" "front_ends" 1 .Values.deployment -}}
{{- end -}}

{{- /* Takes the index of a front end. */ -}}
{{- define "statmux.metricsPort" -}}
{{- ternary "prom" (printf "prom-%d" .) (eq (int .) 0) -}}
{{- end -}}

{{- /* Nothing of requests or weights goes through Ray's store. Ray's own choice, a share of the memory, may not fit
into /dev/shm. */ -}}
{{- define "statmux.objectStoreBytes" -}}
104857600
{{- end -}}

{{- define "statmux.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "statmux.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* KubeRay sets Ray's token in Ray's containers only, and only if it made the Secret. */ -}}
{{- define "statmux.rayToken" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.ray.existingTokenSecret | default (include "statmux.fullname" .) }}
      key: auth_token
{{- end -}}

{{- define "statmux.rayEnv" -}}
{{- if .Values.ray.existingTokenSecret }}
{{ include "statmux.rayToken" . }}
{{- end }}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Ray's agent says whether the node lives; it needs no token for that. */ -}}
{{- define "statmux.rayProbes" -}}
startupProbe:
  httpGet: {path: /api/local_raylet_healthz, port: 52365}
  periodSeconds: 5
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /api/local_raylet_healthz, port: 52365}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /api/local_raylet_healthz, port: 52365}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{- /* Probes of Kubernetes speak gRPC without TLS only, and show no certificates. They wait longer than the second
that is their default: a controller under load is no dead one. */ -}}
{{- define "statmux.controllerProbes" -}}
{{- if and .Values.tls.existingSecret .Values.tls.clientCertificates }}
startupProbe:
  exec: {command: [statmux, status]}
  periodSeconds: 10
  timeoutSeconds: 8
  failureThreshold: {{ div (add .Values.head.controller.waitSeconds 600) 10 }}
readinessProbe:
  exec: {command: [statmux, status, --wait, ready, --timeout, 2s]}
  periodSeconds: 10
  timeoutSeconds: 8
livenessProbe:
  exec: {command: [statmux, status]}
  periodSeconds: 30
  timeoutSeconds: 15
  failureThreshold: 3
{{- else if .Values.tls.existingSecret }}
startupProbe:
  httpGet: {path: /livez, port: http, scheme: HTTPS}
  periodSeconds: 10
  failureThreshold: {{ div (add .Values.head.controller.waitSeconds 600) 10 }}
readinessProbe:
  httpGet: {path: /readyz, port: http, scheme: HTTPS}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /livez, port: http, scheme: HTTPS}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- else }}
startupProbe:
  grpc: {port: {{ .Values.ports.grpc }}, service: liveness}
  periodSeconds: 10
  failureThreshold: {{ div (add .Values.head.controller.waitSeconds 600) 10 }}
readinessProbe:
  grpc: {port: {{ .Values.ports.grpc }}}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  grpc: {port: {{ .Values.ports.grpc }}, service: liveness}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}
{{- end -}}

{{- define "statmux.checked" -}}
{{- if not (or .Values.tls.existingSecret .Values.insecure) -}}
{{- fail "tls.existingSecret is empty: tokens and answers would travel in the clear. Name a Secret of type kubernetes.io/tls, or set insecure=true if a mesh or proxy ends TLS before the pod" -}}
{{- end -}}
{{- if not (or .Values.auth.enabled (and .Values.tls.existingSecret .Values.tls.clientCertificates) .Values.insecure) -}}
{{- fail "auth.enabled is false: anybody who reaches the ports may call. Turn it on, or tls.clientCertificates, or set insecure=true" -}}
{{- end -}}
{{- range list "cluster" "endpoints" "security" -}}
{{- if hasKey $.Values.deployment . -}}
{{- fail (printf "deployment.%s is written by the chart: use workerGroups, ports, auth and tls" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

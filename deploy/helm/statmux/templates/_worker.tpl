{{- /* One group of KubeRay's. With a host: one pod, which has that name in the fleet, whichever pod it is; none of a
host that is retired. */ -}}
{{- define "statmux.workerGroup" -}}
{{- $root := .root -}}
{{- $group := .group -}}
{{- $replicas := $group.replicas -}}
{{- if .host -}}
{{- $replicas = ternary 0 1 .host.isRetired -}}
{{- end -}}
{{- $device := dict "nvidia" "nvidia.com/gpu" "tpu" "google.com/tpu" | dig $group.device.kind "" -}}
- groupName: {{ .host.name | default $group.name }}
  replicas: {{ $replicas }}
  minReplicas: {{ $replicas }}
  maxReplicas: {{ max 1 $replicas }}
  numOfHosts: {{ $group.numOfHosts | default 1 }}
  {{- if .host }}
  labels:
    statmux-host: {{ .host.name }}
  {{- end }}
  rayStartParams:
    object-store-memory: {{ include "statmux.objectStoreBytes" $root | quote }}
    # Virtual devices are counted as CPUs; GPUs and TPUs KubeRay takes from the limits.
    num-cpus: {{ ternary $group.device.count 0 (empty $device) | quote }}
  template:
    metadata:
      labels:
        {{- include "statmux.selectorLabels" $root | nindent 8 }}
        statmux/node-class: {{ $group.name }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "statmux.serviceAccountName" $root }}
      automountServiceAccountToken: false
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $group.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: {{ include "statmux.graceSeconds" $root }}
      securityContext:
        {{- include "statmux.podSecurityContext" $root | nindent 8 }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - {name: {{ . }}}
        {{- end }}
      {{- end }}
      containers:
        - name: ray-worker
          image: {{ include "statmux.image" (dict "root" $root "tag" $group.imageTag) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          env:
            {{- include "statmux.rayEnv" $root | trim | nindent 12 }}
          # When the whole cluster goes, what is in flight ends first.
          lifecycle:
            preStop:
              exec: {command: [sleep, {{ include "statmux.drainSeconds" $root | quote }}]}
          {{- include "statmux.rayProbes" $root | nindent 10 }}
          resources:
            requests:
              {{- with dig "resources" "requests" dict $group }}
              {{- toYaml . | nindent 14 }}
              {{- end }}
              {{- if $device }}
              {{ $device }}: {{ $group.device.count | quote }}
              {{- end }}
            limits:
              {{- with dig "resources" "limits" dict $group }}
              {{- toYaml . | nindent 14 }}
              {{- end }}
              {{- if $device }}
              {{ $device }}: {{ $group.device.count | quote }}
              {{- end }}
          securityContext:
            {{- include "statmux.securityContext" $root | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            - {name: shm, mountPath: /dev/shm}
            - {name: state, mountPath: /var/lib/statmux}
            {{- with $root.Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - {name: tmp, emptyDir: {}}
        - {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ $group.sharedMemory | default "1Gi" }}}}
        - {name: state, emptyDir: {}}
        {{- with $root.Values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $group.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $group.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $group.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{- /* One validation: the requester may get the object of this kind that spec.<field> names. */ -}}
{{- define "qn.mayGet" -}}
{{- $name := printf "object.spec.%s" .field -}}
{{- $resource := printf "%ss" (lower .kind) -}}
- expression: >-
    {{ .unless }} ||
    authorizer.group('').resource('{{ $resource }}').namespace(request.namespace).name({{ $name }}).check('get').allowed()
  reason: Forbidden
  message: You may not get the {{ .kind }} that spec.{{ .field }} names. Name another, or ask for a Role that allows it.
  messageExpression: >-
    'spec.{{ .field }}: ' + request.userInfo.username + ' may not get {{ .kind }} ' + {{ $name }} + variables.remedy
{{- end -}}
{{- /* One validation: the requester may scale application.workloads[index], if there is one. `unless`: there is no such list. */ -}}
{{- define "qn.mayScale" -}}
{{- $field := printf "application.workloads[%d]" .index -}}
{{- $workload := printf "object.spec.%s" $field -}}
- expression: >-
    {{ .unless }} || size(object.spec.application.workloads) <= {{ .index }} ||
    authorizer.group('apps').resource({{ $workload }}.kind == 'StatefulSet' ? 'statefulsets' : 'deployments').subresource('scale').namespace(request.namespace).name({{ $workload }}.name).check('patch').allowed()
  reason: Forbidden
  message: You may not scale the workload that spec.{{ $field }} names. Name another, or ask for a Role that allows it.
  messageExpression: >-
    'spec.{{ $field }}: ' + request.userInfo.username + ' may not patch the scale of ' + {{ $workload }}.kind + ' ' + {{ $workload }}.name + variables.remedy
{{- end -}}
{{- /* One validation: the requester may get each object of this kind, whatever its name. `unless`: the resource names all that it needs. */ -}}
{{- define "qn.mayGetAny" -}}
{{- $resource := printf "%ss" (lower .kind) -}}
- expression: >-
    {{ .unless }} ||
    authorizer.group('').resource('{{ $resource }}').namespace(request.namespace).check('get').allowed()
  reason: Forbidden
  message: You may not get every {{ .kind }}, and {{ .why }}. {{ .instead }}, or ask for a Role that allows it.
  messageExpression: >-
    request.userInfo.username + ' may not get every {{ .kind }} in namespace ' + request.namespace +
    ', and {{ .why }}. {{ .instead }}, or ask for a Role that allows it.'
{{- end -}}
{{- /* One validation: the requester may scale each workload of this kind. `unless`: the resource names them. */ -}}
{{- define "qn.mayScaleAny" -}}
{{- $resource := printf "%ss" (lower .kind) -}}
- expression: >-
    {{ .unless }} ||
    authorizer.group('apps').resource('{{ $resource }}').subresource('scale').namespace(request.namespace).check('patch').allowed()
  reason: Forbidden
  message: You may not scale every {{ .kind }}, and {{ .why }}. {{ .instead }}, or ask for a Role that allows it.
  messageExpression: >-
    request.userInfo.username + ' may not patch the scale of every {{ .kind }} in namespace ' + request.namespace +
    ', and {{ .why }}. {{ .instead }}, or ask for a Role that allows it.'
{{- end -}}
{{- /* What a policy asks about any of our kinds, up to its first validation. */ -}}
{{- define "qn.admissionFrame" -}}
failurePolicy: Fail
matchConstraints:
  resourceRules:
    - apiGroups: [backup.quotenode.io]
      apiVersions: [v1beta1]
      operations: [CREATE, UPDATE]
      # Without its status: that one cannot change the spec.
      resources: [{{ .plural }}]
matchConditions:
  # Or somebody vouches for a spec that is older than this policy.
  - name: spec-changed-or-approved
    expression: >-
      request.operation == 'CREATE' || object.spec != oldObject.spec ||
      (has(object.metadata.annotations) && 'backup.quotenode.io/approved' in object.metadata.annotations &&
      (!has(oldObject.metadata.annotations) || !('backup.quotenode.io/approved' in oldObject.metadata.annotations) ||
      object.metadata.annotations['backup.quotenode.io/approved'] != oldObject.metadata.annotations['backup.quotenode.io/approved']))
  # An operator may read no Secret at all, and copies only specs whose authors were asked. By right and not by name: there may be others.
  - name: not-an-operator
    expression: >-
      !authorizer.group('admission.backup.quotenode.io').resource('exemptions').namespace(request.namespace).check('use').allowed()
variables:
  - name: remedy
    expression: >-
      ' in namespace ' + request.namespace + '. Name another, or ask for a Role that allows it.'
# One expression per reference and index: a loop over the files would exceed the cost that the API server allows for one.
validations:
  - expression: authorizer.group('').resource('pods').namespace(request.namespace).check('create').allowed()
    reason: Forbidden
    message: You may not create pods in this namespace, and a {{ .word }} runs in one. Ask for a Role that allows it.
    messageExpression: >-
      request.userInfo.username + ' may not create pods in namespace ' + request.namespace +
      ', and a {{ .word }} runs in one. Ask for a Role that allows it.'
{{- end -}}
{{- /* What the binding says beside the name of the policy. */ -}}
{{- define "qn.admissionBindingSpec" -}}
validationActions: [Deny]
{{- end -}}

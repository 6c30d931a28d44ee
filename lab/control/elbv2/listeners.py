"""Listeners, their rules, certificates and attributes.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html. A certificate's ARN is
recorded only: the lab has a certificate for each name of its own (`lab.live.load_balancer.certificates`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.control.elbv2.rule_shapes import action_shape, condition_shape, parse_actions, parse_conditions
from lab.control.elbv2.state import LoadBalancerState, as_attributes, attributes_of, new_arn, page, tags_of
from lab.core.load_balancer import DEFAULT_PRIORITY, Action, LoadBalancer, LoadBalancerListener, Rule

LISTENERS_MAX = 50
RULES_MAX = 100
PRIORITY_MAX = 50_000
CERTIFICATE_ARN = re.compile(r"arn:aws[a-z-]*:(acm:[a-z0-9-]+:\d{12}:certificate/|iam::\d{12}:server-certificate/).+")
SSL_POLICIES = ("ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-2016-08")
ATTRIBUTES = {"routing.http.response.server.enabled": "true"}


class ListenersPlane:
    """Operations on listeners and rules."""

    def __init__(self, state: LoadBalancerState) -> None:
        self._state = state

    # listeners

    def create_listener(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        balancer = self._state.balancer(call.region, given["LoadBalancerArn"])
        for wanted in ("Protocol", "Port"):
            if wanted not in given:
                raise AwsError("ValidationError", f"{wanted} must be specified")
        if len(balancer.listeners) >= LISTENERS_MAX:
            raise AwsError("TooManyListeners", f"A load balancer has at most {LISTENERS_MAX} listeners")
        self._check_port(balancer, given["Port"], None)
        actions = self._actions(call, balancer, given["DefaultActions"])
        listener = LoadBalancerListener(
            new_arn(call.region, f"listener/{balancer.id}"), given["Protocol"], given["Port"], (), tags=tags_of(call)
        )
        listener = self._with_protocol(call, listener)
        rule = Rule(new_arn(call.region, f"listener-rule/{listener.arn.partition(':listener/')[2]}"), 0, actions)
        listener = replace(listener, rules=(rule,))
        self._state.keep_listener(balancer, listener)
        return {"Listeners": [self._shape(balancer, listener)]}

    def modify_listener(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        balancer, listener = self._state.listener(call.region, given["ListenerArn"])
        if "Port" in given:
            self._check_port(balancer, given["Port"], listener.arn)
        if "DefaultActions" in given:
            actions = self._actions(call, balancer, given["DefaultActions"])
            *others, default = listener.rules
            listener = replace(listener, rules=(*others, replace(default, actions=actions)))
        listener = replace(
            listener, port=given.get("Port", listener.port), protocol=given.get("Protocol", listener.protocol)
        )
        listener = self._with_protocol(call, listener)
        self._state.keep_listener(balancer, listener)
        return {"Listeners": [self._shape(balancer, listener)]}

    def _with_protocol(self, call: Call, listener: LoadBalancerListener) -> LoadBalancerListener:
        """The listener with its certificates, checked against its protocol."""
        given = call.parameters
        if listener.protocol not in ("HTTP", "HTTPS"):
            raise AwsError("ValidationError", f"Listener protocol '{listener.protocol}' must be one of 'HTTP, HTTPS'")
        if given.get("MutualAuthentication", {}).get("Mode", "off") != "off":
            raise not_implemented("elasticloadbalancing", call.operation, "mutual TLS authentication")
        if listener.protocol == "HTTP":
            if given.get("Certificates"):
                raise AwsError("ValidationError", "Certificates cannot be specified for HTTP listeners")
            return replace(listener, certificate_arns=(), ssl_policy=None)
        arns = tuple(certificate.get("CertificateArn", "") for certificate in given.get("Certificates", []))
        for arn in arns:
            _check_certificate(arn)
        if len(arns) > 1:
            raise AwsError("TooManyCertificates", "Only one certificate can be a listener's default")
        arns = (*arns, *listener.certificate_arns[1:]) if arns else listener.certificate_arns
        if not arns:
            raise AwsError("ValidationError", "A certificate must be specified for HTTPS listeners")
        policy = given.get("SslPolicy") or listener.ssl_policy or SSL_POLICIES[0]
        if not policy.startswith("ELBSecurityPolicy-"):
            raise AwsError("SSLPolicyNotFound", f"SSL policy '{policy}' not found")
        return replace(listener, certificate_arns=arns, ssl_policy=policy)

    def _check_port(self, balancer: LoadBalancer, port: int, own_arn: str | None) -> None:
        topology = self._state.topology
        for listener in balancer.listeners:
            if listener.arn == own_arn:
                continue
            if listener.port == port:
                raise AwsError("DuplicateListener", "A listener already exists on this port for this load balancer")
            if topology.listening_port(listener.port) == topology.listening_port(port):
                raise AwsError(
                    "DuplicateListener",
                    f"In the lab a listener on port {listener.port} listens on {topology.listening_port(port)}, "
                    f"so port {port} is taken for this load balancer",
                )

    def _actions(self, call: Call, balancer: LoadBalancer, given: list[dict[str, Any]]) -> tuple[Action, ...]:
        actions = parse_actions(given, call.operation, lambda arn: self._state.group(call.region, arn))
        for action in actions:
            for group in action.target_groups:
                if any(other.arn != balancer.arn for other in self._state.balancers_of(group.arn)):
                    raise AwsError(
                        "TargetGroupAssociationLimit",
                        "The following target groups cannot be associated with more than one load balancer: "
                        + group.arn,
                    )
        return actions

    def describe_listeners(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        if "ListenerArns" in given:
            found = [self._state.listener(call.region, arn) for arn in given["ListenerArns"]]
        elif "LoadBalancerArn" in given:
            balancer = self._state.balancer(call.region, given["LoadBalancerArn"])
            found = [(balancer, listener) for listener in balancer.listeners]
        else:
            raise AwsError("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
        shown, marker = page(found, call, lambda pair: pair[1].arn)
        return {"Listeners": [self._shape(*pair) for pair in shown], "NextMarker": marker}

    def delete_listener(self, call: Call) -> None:
        balancer, listener = self._state.listener(call.region, call.parameters["ListenerArn"])
        kept = tuple(other for other in balancer.listeners if other.arn != listener.arn)
        self._state.keep_balancer(replace(balancer, listeners=kept))

    def _shape(self, balancer: LoadBalancer, listener: LoadBalancerListener) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "ListenerArn": listener.arn,
            "LoadBalancerArn": balancer.arn,
            "Port": listener.port,
            "Protocol": listener.protocol,
            "DefaultActions": [action_shape(action) for action in listener.rules[-1].actions],
        }
        if listener.protocol == "HTTPS":
            shape["Certificates"] = [{"CertificateArn": arn} for arn in listener.certificate_arns[:1]]
            shape["SslPolicy"] = listener.ssl_policy
            shape["MutualAuthentication"] = {"Mode": "off"}
        return shape

    def describe_listener_attributes(self, call: Call) -> dict[str, Any]:
        _, listener = self._state.listener(call.region, call.parameters["ListenerArn"])
        return as_attributes(ATTRIBUTES | listener.attributes)

    def modify_listener_attributes(self, call: Call) -> dict[str, Any]:
        balancer, listener = self._state.listener(call.region, call.parameters["ListenerArn"])
        listener = replace(listener, attributes=listener.attributes | attributes_of(call, ATTRIBUTES))
        self._state.keep_listener(balancer, listener)
        return as_attributes(ATTRIBUTES | listener.attributes)

    # certificates

    def describe_listener_certificates(self, call: Call) -> dict[str, Any]:
        _, listener = self._state.listener(call.region, call.parameters["ListenerArn"])
        arns = listener.certificate_arns
        return {"Certificates": [{"CertificateArn": arn, "IsDefault": n == 0} for n, arn in enumerate(arns)]}

    def add_listener_certificates(self, call: Call) -> dict[str, Any]:
        balancer, listener = self._state.listener(call.region, call.parameters["ListenerArn"])
        added = [certificate.get("CertificateArn", "") for certificate in call.parameters["Certificates"]]
        for arn in added:
            _check_certificate(arn)
        arns = tuple(dict.fromkeys((*listener.certificate_arns, *added)))
        self._state.keep_listener(balancer, replace(listener, certificate_arns=arns))
        return {"Certificates": [{"CertificateArn": arn, "IsDefault": False} for arn in added]}

    def remove_listener_certificates(self, call: Call) -> None:
        balancer, listener = self._state.listener(call.region, call.parameters["ListenerArn"])
        removed = {certificate.get("CertificateArn") for certificate in call.parameters["Certificates"]}
        if listener.certificate_arns and listener.certificate_arns[0] in removed:
            raise AwsError("OperationNotPermitted", "A listener's default certificate cannot be removed")
        arns = tuple(arn for arn in listener.certificate_arns if arn not in removed)
        self._state.keep_listener(balancer, replace(listener, certificate_arns=arns))

    def describe_ssl_policies(self, call: Call) -> dict[str, Any]:
        names = call.parameters.get("Names", SSL_POLICIES)
        for name in names:
            if name not in SSL_POLICIES:
                raise AwsError("SSLPolicyNotFound", f"SSL policy '{name}' not found")
        protocols = ["TLSv1.2", "TLSv1.3"]
        return {"SslPolicies": [{"Name": name, "SslProtocols": protocols, "Ciphers": []} for name in names]}

    # rules

    def create_rule(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        self._refuse_transforms(call)
        balancer, listener = self._state.listener(call.region, given["ListenerArn"])
        if sum(len(other.rules) - 1 for other in balancer.listeners) >= RULES_MAX:
            raise AwsError("TooManyRules", f"A load balancer has at most {RULES_MAX} rules besides the default ones")
        _check_priority(given["Priority"])
        if any(rule.priority == given["Priority"] for rule in listener.rules):
            raise AwsError("PriorityInUse", f"Priority '{given['Priority']}' is currently in use")
        rule = Rule(
            new_arn(call.region, f"listener-rule/{listener.arn.partition(':listener/')[2]}"),
            given["Priority"],
            self._actions(call, balancer, given["Actions"]),
            parse_conditions(given["Conditions"]),
            tags_of(call),
        )
        self._state.keep_listener(balancer, replace(listener, rules=_ordered((*listener.rules, rule))))
        return {"Rules": [_rule_shape(rule)]}

    def modify_rule(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        self._refuse_transforms(call)
        balancer, listener, rule = self._state.rule(call.region, given["RuleArn"])
        if rule.priority == DEFAULT_PRIORITY:
            raise AwsError("OperationNotPermitted", f"Default rule '{rule.arn}' cannot be modified")
        if "Conditions" in given:
            rule = replace(rule, conditions=parse_conditions(given["Conditions"]))
        if "Actions" in given:
            rule = replace(rule, actions=self._actions(call, balancer, given["Actions"]))
        rules = tuple(rule if other.arn == rule.arn else other for other in listener.rules)
        self._state.keep_listener(balancer, replace(listener, rules=rules))
        return {"Rules": [_rule_shape(rule)]}

    def _refuse_transforms(self, call: Call) -> None:
        if call.parameters.get("Transforms"):
            raise not_implemented("elasticloadbalancing", call.operation, "rule transforms")

    def delete_rule(self, call: Call) -> None:
        balancer, listener, rule = self._state.rule(call.region, call.parameters["RuleArn"])
        if rule.priority == DEFAULT_PRIORITY:
            raise AwsError("OperationNotPermitted", f"Default rule '{rule.arn}' cannot be deleted")
        rules = tuple(other for other in listener.rules if other.arn != rule.arn)
        self._state.keep_listener(balancer, replace(listener, rules=rules))

    def set_rule_priorities(self, call: Call) -> dict[str, Any]:
        pairs = call.parameters["RulePriorities"]
        wanted = {pair["RuleArn"]: pair["Priority"] for pair in pairs}
        found = [self._state.rule(call.region, arn) for arn in wanted]
        if len({listener.arn for _, listener, _ in found}) != 1:
            raise AwsError("ValidationError", "All rules must belong to one listener")
        balancer, listener, _ = found[0]
        for _, _, rule in found:
            if rule.priority == DEFAULT_PRIORITY:
                raise AwsError("OperationNotPermitted", f"The priority of default rule '{rule.arn}' cannot be modified")
        for priority in wanted.values():
            _check_priority(priority)
        rules = tuple(replace(rule, priority=wanted.get(rule.arn, rule.priority)) for rule in listener.rules)
        priorities = [rule.priority for rule in rules]
        for priority in wanted.values():
            if priorities.count(priority) > 1:
                raise AwsError("PriorityInUse", f"Priority '{priority}' is currently in use")
        self._state.keep_listener(balancer, replace(listener, rules=_ordered(rules)))
        return {"Rules": [_rule_shape(rule) for rule in _ordered(rules) if rule.arn in wanted]}

    def describe_rules(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        if "RuleArns" in given:
            rules = [self._state.rule(call.region, arn)[2] for arn in given["RuleArns"]]
        elif "ListenerArn" in given:
            rules = list(self._state.listener(call.region, given["ListenerArn"])[1].rules)
        else:
            raise AwsError("ValidationError", "You must specify either listener rule ARNs or a listener ARN")
        shown, marker = page(rules, call, lambda rule: rule.arn)
        return {"Rules": [_rule_shape(rule) for rule in shown], "NextMarker": marker}


def _check_certificate(arn: str) -> None:
    if CERTIFICATE_ARN.fullmatch(arn) is None:
        raise AwsError("CertificateNotFound", f"Certificate '{arn}' not found: expected the ARN of one in ACM or IAM")


def _check_priority(priority: int) -> None:
    if not 1 <= priority <= PRIORITY_MAX:
        raise AwsError("ValidationError", f"A rule's priority must be between 1 and {PRIORITY_MAX}, not {priority}")


def _ordered(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """By priority, the default rule last."""
    return tuple(sorted(rules, key=lambda rule: rule.priority or PRIORITY_MAX + 1))


def _rule_shape(rule: Rule) -> dict[str, Any]:
    default = rule.priority == DEFAULT_PRIORITY
    return {
        "RuleArn": rule.arn,
        "Priority": "default" if default else str(rule.priority),
        "Conditions": [condition_shape(condition) for condition in rule.conditions],
        "Actions": [action_shape(action) for action in rule.actions],
        "IsDefault": default,
    }

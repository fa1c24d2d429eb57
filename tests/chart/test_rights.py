"""The operator's rights, as the chart grants them: least, and without stars.

They are the same whether granted for the cluster or by namespace.
"""

from __future__ import annotations

from typing import Any

import pytest

from postboat.cluster.types import CHILD_TYPES
from tests.chart.conftest import documents

Rule = tuple[str, str, frozenset[str]]

OPERATOR = "mail-operator-postboat"
ROLES = {"Role", "ClusterRole"}
WRITTEN = {kind.plural for kind in CHILD_TYPES}


def rules(role: dict[str, Any]) -> list[Rule]:
    """Every combination of group and resource of a role, with its verbs."""
    return [
        (group, resource, frozenset(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]


def granted(corner: str, *, name: str = OPERATOR) -> list[dict[str, Any]]:
    """The roles of that name."""
    return [one for one in documents(corner) if one["kind"] in ROLES and one["metadata"]["name"] == name]


def test_no_star_and_nothing_that_leads_further(corner: str) -> None:
    for role in (one for one in documents(corner) if one["kind"] in ROLES):
        for group, resource, verbs in rules(role):
            assert "*" not in {group, resource, *verbs}, role["metadata"]["name"]
            assert not verbs & {"escalate", "bind", "impersonate"}
            assert resource not in {"nodes", "pods/exec", "namespaces", "roles", "clusterroles", "rolebindings"}


def test_what_users_write_is_only_read() -> None:
    (role,) = granted("default")
    for group, resource, verbs in rules(role):
        if resource == "mailboxes" and verbs == {"patch"}:
            continue  # the finalizer; the admission policy leaves it nothing else
        if group == "postboat.dev" and "/" not in resource:
            assert verbs == {"get", "list", "watch"}
        elif resource.endswith("/status"):
            assert verbs == {"patch"}


def test_only_its_own_kinds_of_children_are_created_and_deleted() -> None:
    (role,) = granted("default")
    assert {resource for _, resource, verbs in rules(role) if "delete" in verbs} == WRITTEN
    assert {resource for _, resource, verbs in rules(role) if "create" in verbs} == WRITTEN | {"events"}
    assert {resource for _, resource, verbs in rules(role) if "patch" in verbs and "/" not in resource} == WRITTEN | {
        "events",
        "pods",
        "mailboxes",
    }


def test_only_the_lease_and_the_owners_of_children_are_updated() -> None:
    (role,) = granted("default")
    updated = {(group, resource) for group, resource, verbs in rules(role) if verbs & {"update", "deletecollection"}}
    assert updated == {("postboat.dev", "mailservers/finalizers")}
    assert {verbs for group, resource, verbs in rules(role) if (group, resource) == ("", "events")} == {
        frozenset({"list"})
    }


def test_claims_are_only_looked_at() -> None:
    (role,) = granted("default")
    found = {verbs for group, resource, verbs in rules(role) if (group, resource) == ("", "persistentvolumeclaims")}
    assert found == {frozenset({"list", "watch"})}


def test_every_rule_covers_all_definitions() -> None:
    definitions = {one["spec"]["names"]["plural"] for one in documents("default") if one["kind"].startswith("Custom")}
    (role,) = granted("default")
    assert {
        resource for group, resource, _ in rules(role) if group == "postboat.dev" and "/" not in resource
    } == definitions


def test_namespaced_mode_has_no_cluster_role_and_the_same_rights() -> None:
    kinds = {one["kind"] for one in documents("namespaced")}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    roles = granted("namespaced")
    assert [role["metadata"]["namespace"] for role in roles] == ["blue", "green"]
    (everywhere,) = granted("default")
    assert all(role["rules"] == everywhere["rules"] for role in roles)


POLICIES = ("finalizer-only", "children", "secrets", "serviceaccounts", "services", "statefulsets", "pods")


@pytest.mark.parametrize("name", POLICIES)
def test_an_admission_policy_narrows_what_rbac_cannot_name(name: str) -> None:
    found = {
        one["kind"]: one["spec"]
        for one in documents("default")
        if one["kind"].startswith("ValidatingAdmission") and one["metadata"]["name"] == f"{OPERATOR}-{name}"
    }
    policy, binding = found["ValidatingAdmissionPolicy"], found["ValidatingAdmissionPolicyBinding"]
    assert binding["validationActions"] == ["Deny"]
    assert binding["policyName"] == f"{OPERATOR}-{name}"
    assert policy["failurePolicy"] == "Fail"
    (condition,) = policy["matchConditions"]
    assert "'system:serviceaccount:mail-operator:postboat'" in condition["expression"]


def test_every_kind_that_the_operator_writes_is_narrowed() -> None:
    matched: dict[str, set[str]] = {}
    for one in documents("default"):
        if one["kind"] == "ValidatingAdmissionPolicy":
            for rule in one["spec"]["matchConstraints"]["resourceRules"]:
                for resource in rule["resources"]:
                    matched.setdefault(resource, set()).update(rule["operations"])
    (role,) = granted("default")
    written = {"create": "CREATE", "patch": "UPDATE", "delete": "DELETE"}
    for _, resource, verbs in rules(role):
        if "/" not in resource and resource != "events":
            assert {operation for verb, operation in written.items() if verb in verbs} <= matched.get(resource, set())


def test_namespaced_mode_makes_no_policy_for_the_cluster() -> None:
    assert not [one for one in documents("namespaced") if one["kind"].startswith("ValidatingAdmission")]


def test_a_hook_lets_go_of_mailboxes_before_the_operator_goes(corner: str) -> None:
    (job,) = (one for one in documents(corner) if one["kind"] == "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["release"]
    (deployment,) = (one for one in documents(corner) if one["kind"] == "Deployment")
    assert pod["serviceAccountName"] == deployment["spec"]["template"]["spec"]["serviceAccountName"]


def test_the_lease_is_one_by_name(corner: str) -> None:
    (role,) = granted(corner, name="postboat-lease")
    assert role["kind"] == "Role"
    held = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert [rule["resourceNames"] for rule in held] == [["postboat"]]

"""Prunes Kubernetes' OpenAPI to the kinds that the chart uses: python3 schemas.py OPENAPI_V3_FOLDER > schemas.json

The folder is api/openapi-spec/v3 of k8s.io/kubernetes (Apache-2.0). Descriptions are left out, and a field that the
schema does not name is refused, as the API server does under strict validation.
"""
import json, sys

FILES = {
    "api__v1": ["ConfigMap", "PersistentVolumeClaim", "Pod", "Secret", "Service", "ServiceAccount"],
    "apis__apps__v1": ["Deployment", "StatefulSet"],
    "apis__autoscaling__v2": ["HorizontalPodAutoscaler"],
    "apis__networking.k8s.io__v1": ["NetworkPolicy"],
    "apis__policy__v1": ["PodDisruptionBudget"],
    "apis__rbac.authorization.k8s.io__v1": ["Role", "RoleBinding"],
}
definitions, kinds = {}, {}


def prune(value):
    if isinstance(value, list):
        return [prune(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, one in value.items():
        if key in ("description", "default") and not isinstance(one, dict) or key == "default":
            continue
        if key.startswith("x-") or key == "format":
            continue
        if key == "$ref":
            kept[key] = "#/definitions/" + one.rsplit("/", 1)[1]
        elif key == "properties":
            kept[key] = {name: prune(schema) for name, schema in one.items()}
        else:
            kept[key] = prune(one)
    if "properties" in kept and "additionalProperties" not in kept:
        kept["additionalProperties"] = False
    return kept


def add(name, schemas):
    if name in definitions:
        return
    definitions[name] = prune(schemas[name])
    for reference in references(definitions[name]):
        add(reference, schemas)


def references(value):
    if isinstance(value, list):
        return [found for one in value for found in references(one)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"].rsplit("/", 1)[1]] if "$ref" in value else []
    return own + [found for one in value.values() for found in references(one)]


for file, names in FILES.items():
    with open(f"{sys.argv[1]}/{file}_openapi.json") as stream:
        schemas = json.load(stream)["components"]["schemas"]
    for name, schema in schemas.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            if kind["kind"] in names and name.endswith("." + kind["kind"]):
                version = "/".join(part for part in (kind["group"], kind["version"]) if part)
                kinds[f"{version} {kind['kind']}"] = name
                add(name, schemas)

json.dump({"kinds": kinds, "definitions": definitions}, sys.stdout, separators=(",", ":"), sort_keys=True)

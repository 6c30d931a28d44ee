"""`lab heal`: lift a fault, or all."""

from __future__ import annotations

import json

import click

from lab.cli.fault import HEAL_LIMIT_S, describe_fault, tell_not_taken
from lab.cli.project import Project
from lab.compose.attach import revive_control
from lab.config.settings import suggestion
from lab.errors import UserError
from lab.supervisor.instance import running_instance


@click.command(short_help="undo faults")
@click.argument("fault_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def heal(project: Project, fault_id: str | None, as_json: bool) -> int:
    """Lift the fault FAULT_ID (see `lab fault list`), or all faults."""
    contained = fault_id is None and running_instance(project.state_dir) is None
    revived = revive_control(project.folder) if contained else []
    lab = project.running()
    mended = [*revived, *lab.mend_containers()] if fault_id is None else []
    faults = lab.call("GET", "/api/faults")["faults"]
    if fault_id is not None and fault_id not in [fault["fault_id"] for fault in faults]:
        known = [fault["fault_id"] for fault in faults]
        raise UserError(f"no fault {fault_id!r}: {suggestion(fault_id, known) if known else 'no fault is in force'}")
    answer = lab.call("DELETE", f"/api/faults/{fault_id}" if fault_id else "/api/faults", limit_s=HEAL_LIMIT_S)
    lifted = [fault for fault in faults if fault_id in (None, fault["fault_id"])]
    if as_json:
        print(json.dumps({"lifted": lifted, "containers": mended}, indent=2))
    for fault in lifted if not as_json else ():
        print(f"lifted {fault['fault_id']}: {describe_fault(fault)}")
    for done in mended if not as_json else ():
        print(f"put right: {done}")
    if not lifted and not mended and not as_json:
        print("No fault was in force.")
    tell_not_taken([answer])
    return 0

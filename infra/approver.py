"""An approver's login as a Prefect block, for the approval form in Prefect's UI.

Whoever may use a block may approve as its person, and Prefect has no users of its own: save one only where nobody else
uses that Prefect server. MLflow's page asks for the person's own login instead.
"""

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from infra.errors import BadSetting
from infra.mlflow_requests import Login


class ApproverLogin(Block):
    """Who the approval form acts as: an approver's account on the MLflow server."""

    _block_type_name = "Nightshift Approver"
    _block_type_slug = "nightshift-approver"

    user: str = Field(min_length=1, description="the account's name")
    password: SecretStr = Field(description="its password")


def login_of(block: str) -> Login | None:
    """The login in a saved block; None where none is named.

    Raises:
        BadSetting: there is no such block.
    """
    if not block:
        return None
    try:
        found = ApproverLogin.load(block)
    except ValueError:  # Prefect's answer to a block that was never saved
        raise BadSetting(
            f"there is no block nightshift-approver/{block}",
            do="save one in Prefect under Blocks, or approve in MLflow's page",
        ) from None
    assert isinstance(found, ApproverLogin)
    return Login(found.user, found.password.get_secret_value())

"""HTTP for nodes: enrolment, join tokens, listing. The connection itself is a WebSocket of the coordinator."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter, SkipValidation

from hypernode.httpapi import PUBLIC, Cursor, Decoded, IdempotencyKey, Limit, Project, fingerprint, problems
from hypernode.kernel import limits
from hypernode.kernel.keys import KeyPair
from hypernode.nodes.model import Enrolment, EnrolRequest, JoinTokenRequest, JoinTokenView, NodePage, NodeView
from hypernode.nodes.service import Nodes
from hypernode.tenancy.service import check_idempotency_key

Registry: TypeAlias = NamedDependency[SkipValidation[Nodes]]
Identity: TypeAlias = NamedDependency[SkipValidation[KeyPair]]
ENROL_BODY_BYTES: Final = 16 * limits.KIB
"""Anyone may ask to be enrolled, so little is read before the join token is checked."""
NodeKey: TypeAlias = Annotated[str, PathParameter(max_length=44, pattern="^[1-9A-HJ-NP-Za-km-z]+$")]


class NodeController(Controller):
    """Nodes."""

    path = "/nodes"
    tags = ["nodes"]  # noqa: RUF012  as Litestar declares it

    @get(summary="Nodes", responses=problems())
    async def list_nodes(
        self,
        project: Project,
        nodes: Registry,
        own: Annotated[bool, QueryParameter(description="Only nodes that earn for the project.")] = False,
        cursor: Cursor = None,
        limit: Limit = limits.PAGE_ITEMS_DEFAULT,
    ) -> NodePage:
        """All nodes, or the project's own, by their keys."""
        return await nodes.page(project.project_id, own, cursor, limit)

    @get("/{node:str}", summary="One node", responses=problems(s404="No such node."))
    async def get_node(self, node: NodeKey, project: Project, nodes: Registry) -> NodeView:
        """One node."""
        return await nodes.view(project.project_id, node)

    @post(
        "/join-tokens",
        summary="Make a join token",
        description="Lets one node in, once, to earn for this project. It is never stored; repeating the "
        "request with the same Idempotency-Key shows the same token again, without one it gives another.",
        dto=Decoded[JoinTokenRequest],
        return_dto=None,
        responses=problems(
            s409="The Idempotency-Key came with another request before.",
            s413="The body is too large.",
            s422="The request has errors.",
        ),
    )
    async def make_join_token(
        self,
        data: JSONBody[JoinTokenRequest],
        project: Project,
        nodes: Registry,
        idempotency_key: IdempotencyKey = None,
    ) -> JoinTokenView:
        """Make a join token."""
        idempotency = check_idempotency_key(idempotency_key, fingerprint(b"join token", str(data.valid_s).encode()))
        return await nodes.join_token(project.project_id, data.valid_s, idempotency)

    @post(
        "/enrol",
        summary="Enrol a node",
        description="Authorized by a join token's secret and the node's own signature. Repeating it with the same key "
        "and token gets the same answer.",
        dto=Decoded[EnrolRequest],
        return_dto=None,
        security=[{}],  # beside the API key that all routes of the interface name: none is needed
        opt={PUBLIC: True},
        request_max_body_size=ENROL_BODY_BYTES,
        responses=problems(
            s401="The signature does not belong to the key.",
            s403="The join token is unknown, expired or used, or the key belongs to somebody else's node.",
            s413="The body is too large.",
            s422="The request has errors.",
        ),
    )
    async def enrol(
        self, data: JSONBody[EnrolRequest], nodes: Registry, identity: Identity, idempotency_key: IdempotencyKey = None
    ) -> Enrolment:
        """Enrol a node."""
        project_id, project = await nodes.enrol(data)
        return Enrolment(data.public_key, str(project_id), project, identity.public)

    @post(
        "/{node:str}/revoke",
        summary="Take a node's rights away",
        description="Its connection ends within a second and it cannot come back. Its running tasks go elsewhere.",
        status_code=200,
        responses=problems(s404="The project has no such node."),
    )
    async def revoke(self, node: NodeKey, project: Project, nodes: Registry) -> NodeView:
        """Take a node's rights away."""
        await nodes.revoke(project.project_id, node)
        return await nodes.view(project.project_id, node)

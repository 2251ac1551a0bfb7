"""The client for asyncio."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from hypernode.client import calls, config, operations, outputs, transfers
from hypernode.client.aio_governance import AsyncGovernance
from hypernode.client.build import LocalJob
from hypernode.client.calls import Network, Whoami
from hypernode.client.drivers import TIMEOUT_S, Asyncio, Settings
from hypernode.client.operations import Patience, ask, pages
from hypernode.client.outputs import FetchedOutput
from hypernode.client.retry import Retry
from hypernode.client.sources import Source, Uploadable
from hypernode.client.transfers import Progress
from hypernode.events.model import EventView
from hypernode.jobs.model import ArtifactRef, JobDocument
from hypernode.jobs.views import BatchItem, Explanation, JobView, LogEvent, QuoteView, TaskView
from hypernode.kernel import limits
from hypernode.ledger.model import AccountView, StatementLine
from hypernode.ledger.receipt import Receipt
from hypernode.nodes.model import JoinTokenRequest, JoinTokenView, NodeView
from hypernode.secrets.model import SecretView, secret_request


class AsyncClient:
    """A project's access to a coordinator, for asyncio.

    Without arguments it takes what `hypernode up` or the environment configured (see `config.load_context`).
    `certificate` is the path of a PEM file or "sha256:" and a fingerprint, and then the only thing trusted.

    Everything raises subclasses of `HypernodeError`. What is safe to repeat is repeated (`retry` says how patiently):
    reading, and creating, because each creating call carries an idempotency key. Methods may be cancelled at any
    await; a submission that was cancelled may or may not have reached the coordinator. To leave an iterator early,
    wrap it in `contextlib.aclosing`, which closes its connection at once.

        async with AsyncClient() as client:
            job = await client.submit(document)
            async for event in client.logs(job.id, follow=True):
                ...
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        certificate: str | os.PathLike[str] | None = None,
        *,
        context: str | None = None,
        retry: Retry | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Raises ConfigInvalid. Connects to nothing yet."""
        chosen = config.choose(url, key, certificate, context)
        self.url = chosen.url
        self._driver = Asyncio(Settings(chosen.url, chosen.key, chosen.certificate, timeout_s))
        self._patience = Patience(retry or Retry())
        self.governance: Final = AsyncGovernance(self._ask, self._steps, self._patience)
        """Stakes, proposals, cases and the supply."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._driver.close()

    # jobs

    async def quote(self, job: JobDocument | LocalJob) -> QuoteView:
        """What a job would cost at worst and who could run it. Takes and sends nothing else."""
        return await self._ask(calls.quote(_document(job)))

    async def submit(self, job: JobDocument | LocalJob, *, progress: Progress | None = None) -> JobView:
        """Submit a job, after uploading what a LocalJob brings. The cap times the number of tasks goes into escrow.

        Raises InsufficientFunds, CapTooLow, or InvalidInput with every wrong field.
        """
        await self.upload_inputs(job, progress=progress)
        return await self._ask(calls.submit(_document(job), str(uuid.uuid4())))

    async def submit_many(self, jobs: Iterable[JobDocument | LocalJob]) -> list[BatchItem]:
        """Submit jobs together; each is taken or refused by itself, in the order given."""
        documents: list[JobDocument] = []
        for job in jobs:
            await self.upload_inputs(job)
            documents.append(_document(job))
        items: list[BatchItem] = []
        for start in range(0, len(documents), limits.BATCH_JOBS):
            batch = documents[start : start + limits.BATCH_JOBS]
            items += (await self._ask(calls.submit_many(batch, str(uuid.uuid4())))).items
        return items

    async def job(self, job_id: str) -> JobView:
        """One job, with its document."""
        return await self._ask(calls.job(job_id))

    def jobs(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        page_size: int | None = None,
    ) -> AsyncGenerator[JobView, None]:
        """All jobs that match, newest first, page by page as they are reached."""
        return self._steps(pages(lambda at: calls.jobs(state, name, labels or {}, at, page_size), self._patience))

    async def cancel(self, job_id: str) -> JobView:
        """Cancel a job. Raises JobEnded when it had ended before."""
        return await self._driver.run(operations.cancel(job_id, self._patience))

    def tasks(
        self, job_id: str, *, state: str | None = None, page_size: int | None = None
    ) -> AsyncGenerator[TaskView, None]:
        """The tasks of a job with their attempts and outputs, by index."""
        return self._steps(pages(lambda at: calls.tasks(job_id, state, at, page_size), self._patience))

    async def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """The job once it has ended. It is told so and does not poll. Raises WaitTimeout after `timeout` seconds."""
        return await self._driver.run(operations.wait(job_id, timeout, self._patience))

    def logs(
        self, job_id: str, task: int = 0, *, follow: bool = False, epoch: int | None = None
    ) -> AsyncGenerator[LogEvent, None]:
        """What a task wrote: the latest attempt's so far (or the attempt `epoch`); with `follow` all attempts', as it
        is written, until the task ends. `stream` is 1 for stdout and 2 for stderr."""
        if follow:
            return self._steps(operations.follow_log(job_id, task, self._patience))
        return self._steps(operations.read_log(job_id, task, epoch, self._patience))

    def events(self, job_id: str | None = None, *, after: str = "") -> AsyncGenerator[EventView, None]:
        """Transitions as they happen, or after the event id `after`: of a job until it has ended, or of everything
        without end."""
        return self._steps(operations.follow_events(job_id, after, self._patience))

    def receipts(self, job_id: str) -> AsyncGenerator[Receipt, None]:
        """The receipts of a job, by task and epoch; `hypernode.ledger.receipt.verify` checks them offline."""
        return self._steps(pages(lambda at: calls.receipts(job_id, at, None), self._patience))

    async def explain(self, job_id: str) -> Explanation:
        """Why a job is as it is, in sentences."""
        return await self._ask(calls.explain(job_id))

    # artifacts

    async def upload(self, what: Uploadable, *, progress: Progress | None = None) -> ArtifactRef:
        """Store a file (by path), bytes or an open binary file. Resumes after interruptions; what the network has
        already is not sent. Raises FileUnusable."""
        return await self._driver.run(transfers.upload(Source(what), self._patience, progress))

    async def upload_inputs(self, job: JobDocument | LocalJob, *, progress: Progress | None = None) -> None:
        """Store what a LocalJob brings; nothing for a document. `progress` counts over all of it."""
        done = 0
        if isinstance(job, LocalJob):
            for part in job.uploads:
                shifted = transfers.shifted(progress, done, job.upload_bytes)
                await self.upload(part.what, progress=shifted)
                done += part.ref.size_bytes

    async def download(self, sha256: str, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
        """Bring an artifact to `path`: whole and verified, or not at all. Resumes, also a download that an earlier
        process began. Raises HashMismatch, FileUnusable."""
        return await self._driver.run(transfers.download(sha256, Path(path), self._patience, progress))

    async def fetch_outputs(
        self, job_id: str, folder: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> list[FetchedOutput]:
        """Bring all outputs of a job below `folder`; an array's tasks each below a folder named by their index.
        Nothing is ever written outside of it."""
        found = self._steps(outputs.fetch(job_id, Path(folder), self._patience, progress))
        return [output async for output in found]

    # nodes

    def nodes(self, *, own: bool = False) -> AsyncGenerator[NodeView, None]:
        """The nodes of the network, or only those that earn for this project."""
        return self._steps(pages(lambda at: calls.nodes(own, at, None), self._patience))

    async def node(self, key: str) -> NodeView:
        """One node by its public key."""
        return await self._ask(calls.node(key))

    async def join_token(self, *, valid_s: int = limits.JOIN_TOKEN_S) -> JoinTokenView:
        """A one-time token that enrols a node for this project."""
        return await self._ask(calls.join_token(JoinTokenRequest(valid_s), str(uuid.uuid4())))

    async def revoke(self, key: str) -> NodeView:
        """Take all rights from a node of this project."""
        return await self._ask(calls.revoke(key))

    # secrets

    async def set_secret(self, name: str, *, registry: str, username: str, password: str) -> SecretView:
        """Keep what opens a private image registry, in place of what the name held before. Jobs name it as their
        `registry_secret`; the operator of a node that pulls with it can read it."""
        secret = secret_request(registry, username, password)
        return await self._ask(calls.set_secret(name, secret))

    async def secrets(self) -> list[SecretView]:
        """The project's secrets; what they hold is never shown."""
        return (await self._ask(calls.secrets())).items

    async def delete_secret(self, name: str) -> None:
        """Forget a secret. Raises NotFound."""
        await self._driver.run(operations.delete_secret(name, self._patience))

    # money and identity

    async def account(self) -> AccountView:
        """The project's balances, in µHYPER."""
        return await self._ask(calls.account())

    def statement(self) -> AsyncGenerator[StatementLine, None]:
        """Every movement of the project's accounts, newest first."""
        return self._steps(pages(lambda at: calls.statement(at, None), self._patience))

    async def network(self) -> Network:
        """The network's version and the public keys that sign its receipts."""
        return await self._ask(calls.network())

    async def whoami(self) -> Whoami:
        """The project this client acts for."""
        return await self._ask(calls.whoami())

    async def _ask(self, call: calls.Call[calls.T]) -> calls.T:
        return await self._driver.run(ask(call, self._patience))

    def _steps(self, operation: Any) -> AsyncGenerator[Any, None]:
        return self._driver.steps(operation)


def _document(job: JobDocument | LocalJob) -> JobDocument:
    return job.document if isinstance(job, LocalJob) else job

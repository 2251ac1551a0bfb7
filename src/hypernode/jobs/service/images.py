"""The images of jobs on their way in: tags become digests, and the secrets that jobs name must be there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from hypernode.images.references import Reference
from hypernode.jobs.model import ContainerRuntime, JobDocument
from hypernode.kernel import limits
from hypernode.kernel.errors import HypernodeError, InvalidInput, RegistryUnreachable
from hypernode.secrets.sealing import Login
from hypernode.secrets.service import Secrets, Wanted


class Resolver(Protocol):
    """`images.registry.resolve`, with all it may reach bound to it."""

    async def __call__(self, reference: Reference, login: tuple[str, str] | None) -> Reference:
        """The reference with its digest. Raises ImageNotFound, ImageDenied, ImageInvalid,
        RegistryNotAllowed, RegistryUnreachable."""


class _Question(msgspec.Struct, frozen=True):
    """What is asked of a registry, once for all jobs that want to know it."""

    reference: Reference
    secret: str | None


class Images:
    """Makes sure that the image a job names is one image for ever, and that its secret fits."""

    def __init__(self, secrets: Secrets, resolve: Resolver, *, deadline_s: float = limits.RESOLVE_S) -> None:
        self._secrets = secrets
        self._resolve = resolve
        self._deadline_s = deadline_s
        self._turns: Final[WeakValueDictionary[UUID, asyncio.Semaphore]] = WeakValueDictionary()

    async def pin(self, project_id: UUID, documents: Sequence[JobDocument]) -> list[JobDocument | HypernodeError]:
        """The documents, each with the digest of its image; or why a job cannot be taken, in its place: what the
        registry said, SecretUnknown, SecretMismatch, SecretUnreadable. Others than containers stay as they are."""
        runtimes = [one.runtime for one in documents if isinstance(one.runtime, ContainerRuntime)]
        if not runtimes:
            return list(documents)
        wanted = {
            Wanted(project_id, runtime.registry_secret, runtime.reference.registry)
            for runtime in runtimes
            if runtime.registry_secret is not None
        }
        logins = await self._secrets.open(wanted)
        questions = {_question(runtime) for runtime in runtimes if not runtime.reference.digest}
        turn = self._turns.setdefault(project_id, asyncio.Semaphore(limits.RESOLUTIONS_PER_PROJECT))
        async with asyncio.TaskGroup() as group:
            tasks = {
                question: group.create_task(self._ask(question, _login(logins, project_id, question), turn))
                for question in questions
            }
        answers = {question: task.result() for question, task in tasks.items()}
        return [_pinned(document, project_id, logins, answers) for document in documents]

    async def _ask(
        self, question: _Question, login: Login | HypernodeError | None, turn: asyncio.Semaphore
    ) -> Reference | HypernodeError:
        if isinstance(login, HypernodeError):
            return login
        try:
            # Waiting for one's turn counts: who names many registries that do not answer holds up nobody but himself.
            async with asyncio.timeout(self._deadline_s), turn:
                return await self._resolve(
                    question.reference, (login.username, login.password) if login is not None else None
                )
        except TimeoutError:
            return RegistryUnreachable(
                f"{question.reference.registry} did not say within {self._deadline_s:g} s what {question.reference} "
                "is; try again, or name the image by its digest: name@sha256:…"
            )
        except HypernodeError as error:
            return error


def _question(runtime: ContainerRuntime) -> _Question:
    return _Question(runtime.reference, runtime.registry_secret)


def _login(
    logins: Mapping[Wanted, Login | HypernodeError], project_id: UUID, question: _Question
) -> Login | HypernodeError | None:
    if question.secret is None:
        return None
    return logins[Wanted(project_id, question.secret, question.reference.registry)]


def _pinned(
    document: JobDocument,
    project_id: UUID,
    logins: Mapping[Wanted, Login | HypernodeError],
    answers: Mapping[_Question, Reference | HypernodeError],
) -> JobDocument | HypernodeError:
    runtime = document.runtime
    if not isinstance(runtime, ContainerRuntime):
        return document
    question = _question(runtime)
    login = _login(logins, project_id, question)
    if isinstance(login, HypernodeError):
        return login
    if runtime.reference.digest:
        return document
    answer = answers[question]
    if isinstance(answer, HypernodeError):
        return answer
    name = str(answer)
    if len(name) > limits.IMAGE_NAME_CHARS:
        return InvalidInput(f"with its digest the image's name has more than {limits.IMAGE_NAME_CHARS} characters")
    return msgspec.structs.replace(document, runtime=msgspec.structs.replace(runtime, image=name))

"""Destructive tasks with no way back.

A task that is run is judged by its commands and by what it says of itself, and lacking an undo is an error.  A
task that people do is judged by its title alone, and only where the title says for certain that something goes
away which no repository brings back: ``Drop the legacy tables`` does, ``Remove unused imports`` and ``Write the
cutover runbook`` do not.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

from crossfade.plans.lint.problem import Problem, Subject, called, error, warning
from crossfade.plans.model import GateKind, OnFailure, Task
from crossfade.plans.survey import is_open

_COMMANDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.I))
    for name, pattern in (
        ("drops something in a database", r"\bdrop\s+(?!-)[a-z]+\b|\bdropdb\b|\bdropuser\b"),
        ("empties a table", r"\btruncate\s+(?!-)\w|\bdelete\s+from\b|\bflush(?:all|db)\b"),
        (
            "deletes files",
            r"(?<![-\w])rm\s+(?!--help)\S|\brmdir\b|\bshred\b|\bunlink\s|\bfind\b.*\s-delete\b",
        ),
        ("overwrites a disk", r"\bmkfs\b|\bwipefs\b|\bdd\s.*\bof="),
        ("deletes what runs", r"\bkubectl\s+delete\b|\bhelm\s+(?:uninstall|delete)\b|\boc\s+delete\b"),
        (
            "destroys infrastructure",
            r"\b(?:terraform|tofu|pulumi|terragrunt|cdk|vagrant)\s+(?:\S+\s+)*?destroy\b|\bapply\s+.*-destroy\b",
        ),
        (
            "deletes containers or volumes",
            r"\bdocker\s+(?:(?:volume|container|image|system|network)\s+)?(?:rm|rmi|prune)\b"
            r"|\bdocker[ -]compose\s+.*\bdown\b.*(?:\s-v\b|--volumes)",
        ),
        (
            "deletes something in a cloud",
            r"\baws\s+\S+\s+(?:delete|terminate|deregister|rm|rb)\S*|\b(?:gcloud|az|doctl|heroku|flyctl|fly)\s.*\b(?:delete|destroy|purge)\b"
            r"|\bgsutil\s+(?:-\S+\s+)*(?:rm|rb)\b",
        ),
        (
            "changes DNS",
            r"\bchange-resource-record-sets\b|\brecord-sets?\s+\S*(?:update|delete|transaction)|\bnsupdate\b"
            r"|\bnetwork\s+dns\b|\bdns\s+(?:update|switch)\b",
        ),
        (
            "shuts something down",
            r"\bsystemctl\s+(?:--\S+\s+)*(?:stop|disable|mask)\b|\bservice\s+\S+\s+stop\b|\bshutdown\b|\bpoweroff\b"
            r"|\bpg_ctl\s.*\bstop\b|\bscale\b.*--replicas[= ]0\b",
        ),
        ("rewrites history", r"\bgit\s+push\b.*(?:\s-f\b|--force(?!-with-lease))"),
        ("removes users", r"\buserdel\b|\bdeluser\b"),
    )
)
_LONGEST = 4000
"""Characters of a command's line that are looked at."""

_COMPLETE = re.compile(r"\bcrossfade\s+complete\b")
_CROSSFADE = re.compile(r"^\s*(?:\w+=\S+\s+)*(?:uv run |python -m )?crossfade\s")
_SCRATCH = re.compile(
    r"(?<![-\w])rm\s+(?:-\S+\s+)*(?:(?:/tmp/|/var/tmp/|\$\{?TMP|\.?/?(?:build|dist|target|tmp|coverage|htmlcov|"
    r"__pycache__|node_modules|\.[\w-]*cache)(?:/|\b))[^;&|\s]*\s*)+\s*(?=$|[;&|])",
    re.I,
)
_QUIET = re.compile(r"(?:^|[;&|]\s*)\s*(?:echo|printf|#)[^;&|]*")

_PREPARES = re.compile(
    r"\s*(?:write|plan|prepare|document|draft|design|define|review|schedule|rehearse|practi[sc]e|test|verify|validate|check|confirm"
    r"|create|script|announce|communicate|approve|monitor|watch|discuss|decide|agree|train|update|implement|build|add|dry[ -]run"
    r"|simulate|evaluate|assess|analy[sz]e|audit|investigate|research|identify|list|inventory|estimate|set ?up|configure|install"
    r"|automate|develop|study|inform|notify|ensure|make sure|back ?up|export|archive|record|measure|compare|explain|present|publish"
    r"|book|order|collect|gather|determine|specify|sign|obtain|get|hold|conduct a (?:dry|rehears)\w*|rollback|roll back|restore|fix|improve|support|handle|keep|reduce|run (?:a |the )?(?:rehears|dry|test|simul)\w*)\b",
    re.I,
)
_THEN = re.compile(r"(?:,|;|\band\b|\bthen\b|&|\+|/)\s*", re.I)
_LEAD_IN = re.compile(
    r"\s*(?:(?:finally|safely|gradually|permanently|execute|perform|carry out|do|run|start|begin|complete|final|the|a|an|full|"
    r"production|prod|live|actual|planned|go)\b[\s:–-]*)*",
    re.I,
)
_VERB = re.compile(
    r"(?:drop|delete|remove|decommission|retire|shut(?:ting)?[ -]?down|turn off|switch off|power off|tear(?:ing)?[ -]?down|purge|wipe|"
    r"truncate|destroy|terminate|dismantle|erase|sunset|uninstall)(?:ing|d|ed|al|s)?\b",
    re.I,
)
_NOUN = re.compile(
    r"\b(?:decommission(?:ing)?|retirement|removal|deletion|shut-?down|tear-?down|sunset(?:ting)?)\s+of\b",
    re.I,
)
_LASTING = re.compile(
    r"\b(?:databases?|db|tables?|schemas?|columns?|ind(?:ex(?:es)?|ices)|rows?|records?|servers?|hosts?|machines?|vms?|instances?"
    r"|buckets?|volumes?|disks?|clusters?|nodes?|backups?|snapshots?|environments?|infrastructure|hardware|storage|queues?|topics?"
    r"|dns|domains?|certificates?|accounts?|users?|customers?|production|prod|data|datasets?|system|platform|service|application|app"
    r"|stack|sqlite|postgres(?:ql)?|mysql|mariadb|mongo(?:db)?|oracle|redis|elasticsearch|monolith|mainframe|legacy|data ?cent(?:er|re))\b",
    re.I,
)
_IN_REPOSITORY = re.compile(
    r"\b(?:code|imports?|unused|dead|feature[ -]flags?|flags?|tests?|fixtures?|mocks?|mock\w*|stubs?|samples?|dummy|fake|hard-?coded|redundant"
    r"|duplicat\w*|docs?|documentation|comments?|todos?|dependenc\w+|packages?|warnings?|references?|files?|class(?:es)?|modules?|functions?|methods?"
    r"|endpoints?|routes?|components?|props?|variables?|links?|badges?|branch(?:es)?|adapters?|shims?|logging|logs?|console|temporary|temp|scratch|staging"
    r"|test data|demo|sandbox|stale|cache[ds]?|shadow|shadows|drop-?in|drop-?downs?|labels?|buttons?|access rights?|permissions?|config\w*|settings?"
    r"|\w+\.(?:py|js|jsx|ts|tsx|md|css|html|ya?ml|json|rb|go|java|rs|php))\b",
    re.I,
)
_SWITCH = re.compile(
    r"\b(?:cut-?over|cutting over|cut over)\b|\bgo(?:ing)?[ -]live\b|\b(?:switch|flip|point|repoint|redirect|move|change|swap|update)\s+"
    r"(?:\S+\s+){0,3}?(?:dns|traffic|load balancer|production users|all users|writes)\b|\bdns\s+(?:switch(?:over)?|change|cut-?over|swap|flip)\b"
    r"|\bswitch-?over\b",
    re.I,
)
_ABOUT_IT = re.compile(
    r"\b(?:plan(?:ning)?|runbook|rehearsal|checklist|script|procedure|test(?:s|ing)?|drill|simulation|dry[ -]run|meeting|review|docs?|documentation|"
    r"communication|announcement|strategy|window|criteria|approval|decision|readiness|preparation|training|report|monitoring|support|schedule|"
    r"playbook|tooling|tool|design|workshop|sign-?off|verification|validation|checks?)\b",
    re.I,
)
_WAY_BACK = re.compile(
    r"\b(?:roll(?:s|ed|ing)?[ -]?backs?|revert(?:s|ed|ible)?|undo|undone|restor(?:e|es|ed|ing|able|ation)|back(?:ed|ing)?[ -]?ups?|snapshots?|fail-?backs?|reversible|recover(?:y|able)?"
    r"|switch back|archived?)\b",
    re.I,
)


class Away(enum.Enum):
    """What a title says that its task does."""

    GONE = "something is gone for good"
    SWITCHED = "users are somewhere else"


def missing(subject: Subject) -> Iterator[Problem]:
    """Open destructive tasks with no undo, and tasks that are to be undone on failure with nothing to do so."""
    survey = subject.survey
    ways_back = any(gate.kind is GateKind.ROLLBACK for gate in subject.plan.gates)
    for task in survey.tasks.values():
        around = (task, *survey.ancestors(task))
        if not is_open(survey.status(task)) or any(one.undo for one in around):
            continue
        problem = _of_run(task) if task.run else None
        if problem is None and not task.run:
            what = destroys_by_title(task.title)
            # a trigger that says to switch back is the way back from a switch, not from a deletion
            told = (what is Away.SWITCHED and ways_back) or any(_tells_way_back(one) for one in around)
            if what is not None and not told:
                problem = _of_title(task)
        if problem is not None:
            yield problem


def _of_run(task: Task) -> Problem | None:
    line = task.lines.get("run")
    for command in task.run:
        why = destroys(command)
        if why is not None:
            return error(
                "undo.missing",
                task.source,
                f"{called(task)} {why} (`{_short(command)}`) and has no undo",
                "add `- **Undo**: …`: the command that brings it back, such as restoring a backup made before",
                line=line,
            )
    if task.on_failure is OnFailure.UNDO:
        return error(
            "undo.missing",
            task.source,
            f"{called(task)} is to be undone when it fails, but has no undo",
            "add `- **Undo**: …`, or stop on failure",
            line=line,
        )
    own = all(_CROSSFADE.search(command) for command in task.run)
    if any(_COMPLETE.search(command) for command in task.run):
        if task.approve is None and not task.gate:
            return warning(
                "undo.missing",
                task.source,
                f"{called(task)} ends the move (`crossfade complete`): there is no way back after it",
                "let somebody approve it: `- **Approve**: 1`",
                line=line,
            )
        return None
    if not own and destroys_by_title(task.title) is not None:
        return error(
            "undo.missing",
            task.source,
            f"{called(task)} is destructive by its title ({_short(task.title)}) and has no undo",
            "add `- **Undo**: …`: the command that brings it back",
            line=line,
        )
    return None


def _of_title(task: Task) -> Problem:
    return warning(
        "undo.missing",
        task.source,
        f"{called(task)} is destructive ({_short(task.title)}) and nothing says how it is undone",
        "add `- **Undo**: …`, or say in its description how it is rolled back",
    )


def _tells_way_back(task: Task) -> bool:
    texts = (task.title, task.description, *task.deliverables, *task.other, *task.other.values())
    return any(_WAY_BACK.search(text) for text in texts) or any(
        _WAY_BACK.search(inner.title) for inner in task.subtasks
    )


def destroys(command: str) -> str | None:
    """What a command destroys, in words; ``None`` when it is not known to destroy anything.

    Of Crossfade's own verbs each is undone by another one (a cutover by `crossfade rollback`), and scratch
    folders are made again.
    """
    if _CROSSFADE.search(command) and not re.search(r"[;&|\n]", command):
        return None
    for line in command.splitlines():
        text = _SCRATCH.sub(" ", _QUIET.sub(" ", line[:_LONGEST]))
        for why, pattern in _COMMANDS:
            if pattern.search(text):
                return why
    return None


def destroys_by_title(title: str) -> Away | None:
    """Whether a title says that the task takes something away for good, or switches users over."""
    for part in _parts(title):
        if _PREPARES.match(part):
            continue
        bare = _LEAD_IN.sub("", part, count=1)
        away = _VERB.match(bare) or _NOUN.search(bare)
        if away and _LASTING.search(bare) and not _IN_REPOSITORY.search(bare):
            return Away.GONE
        if _SWITCH.search(part) and not _ABOUT_IT.search(part):
            return Away.SWITCHED
    return None


def _parts(title: str) -> Iterator[str]:
    """A title's clauses: ``Back up and drop the tables`` does two things."""
    at = 0
    for found in _THEN.finditer(title):
        rest = title[found.end() :]
        if _VERB.match(rest) or _SWITCH.match(rest) or _PREPARES.match(rest):
            yield title[at : found.start()]
            at = found.end()
    yield title[at:]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57].rstrip() + "…"

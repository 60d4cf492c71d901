"""Whether what Rekindle says of a build is what Cargo's own log says: unit by unit the kind of cause, and its values.

It can be wrong where Cargo gives no reason (a unit in a new folder): there a cause is only held against the two lock files, and
against what was ever compiled.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

# What a call of Cargo needs so that its log names every unit.
LOG = {"CARGO_LOG": "cargo::core::compiler::fingerprint=info"}
MARK = "cargo::core::compiler::fingerprint: "
# Cargo's reason, and the kinds of cause that may stand for it.
KINDS = {
    "RustcChanged": {"toolchain-changed"},
    "FeaturesChanged": {"features-changed"},
    "DeclaredFeaturesChanged": {"declared-features-changed"},
    "TargetConfigurationChanged": {"target-definition-changed", "other-crate-types"},
    "PathToSourceChanged": {"path-moved"},
    "ProfileConfigurationChanged": {"profile-changed"},
    "RustflagsChanged": {"rustflags-changed"},
    "ConfigSettingsChanged": {"config-changed"},
    "CompileKindChanged": {"target-changed"},
    "PrecalculatedComponentsChanged": {"source-changed", "source-gone", "forced"},
    "EnvVar": {"env-changed"},
    "NumberOfDependenciesChanged": {"dependency-added", "dependency-removed"},
    "UnitDependency": {
        "dependency-rebuilt",
        "other-variant",
        "dependency-added",
        "dependency-removed",
        "dependency-renamed",
    },
    "FsStatusOutdated(StaleDep": {"dependency-rebuilt", "dependency-newer"},
    "FsStatusOutdated(StaleItem(ChangedEnv": {"env-changed"},
    # Of several files, Cargo names any.
    "FsStatusOutdated(StaleItem(ChangedFile": {"source-changed", "source-gone", "forced"},
    "FsStatusOutdated(StaleItem(MissingFile": {"source-gone", "source-changed", "never-there", "forced", "output-missing"},
}
OTHERWISE = {"forced", "output-missing", "changed-back", "variants-take-turns", "unfinished"}
# In a folder that was there before, these would be an invention.
OF_NEW_FOLDERS = {
    "cold-start",
    "never-built",
    "pruned",
    "other-mode",
    "other-profile",
    "other-settings",
    "lock-bumped",
    "version-changed",
}


@dataclass
class Dirty:
    """A unit in Cargo's log, and why it was dirty."""

    package: str
    target: str
    mode: str
    reason: str

    def is_in(self, unit: dict) -> bool:
        return unit["package"] == self.package and any(self.is_of(target) for target in unit["targets"])

    def is_of(self, target: str) -> bool:
        if self.target in ("build-script-build", "build-script-main"):
            return target.startswith("run-build-script-" if self.mode.startswith("RunCustomBuild") else "build-script-")
        is_test = self.mode.startswith("Test") or "test: true" in self.mode
        is_doc = self.mode.startswith("Doc")
        return (
            target.startswith("test-") == is_test
            and target.startswith("doc-") == is_doc
            and not target.startswith("run-")
            and target.endswith(f"-{self.target}")
        )


@dataclass
class Verdict:
    """What is wrong with the causes of one job."""

    units: int = 0
    unexplained: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    # By the clock, as Rekindle estimates it: for what was compiled, and what it would have been besides for the rest.
    waited: float = 0
    spared: float = 0


def dirty_units(log: str) -> list[Dirty]:
    found, opened = [], None
    for line in log.splitlines():
        head, mark, text = line.partition(MARK)
        text = text.strip()
        if not mark:
            continue
        if text.startswith("fingerprint dirty for "):
            words = text.removeprefix("fingerprint dirty for ")
            target = re.search(r'target="([^"]*)"', head)
            opened = (words.split(" ")[0], target[1] if target else "", words.split("/TargetInner")[0].rsplit("/", 1)[-1])
        elif text.startswith("dirty: ") and opened:
            found.append(Dirty(*opened, text.removeprefix("dirty: ")))
            opened = None
    return found


def kinds_of(reason: str) -> set[str]:
    return next((kinds for start, kinds in KINDS.items() if reason.startswith(start)), OTHERWISE)


def strings(text: str) -> list[str]:
    """Every quoted string of a value that Rust printed for debugging."""
    return [part.replace('\\"', '"').replace("\\\\", "\\") for part in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]


def between(reason: str, start: str, end: str) -> str:
    return reason.partition(start)[2].partition(end)[0]


def value(text: str) -> str:
    return f"`{strings(text)[0]}`" if text.startswith("Some(") else "(unset)"


def disagrees(dirty: Dirty, unit: dict) -> str | None:
    """How the values of a cause differ from those in the log."""
    reason, cause = dirty.reason, unit["cause"]
    kind = cause["because"]
    if kind == "env-changed":
        name, old, new = re.search(
            r'(?:var|name): "(.*?)", (?:previous|old_value): (.*), (?:current|new_value): (.*?) \}', reason
        ).groups()
        said = (cause["name"], cause["old"], cause["new"])
        meant = (name, value(old), value(new))
        # Of several variables, Cargo names the first that it looks at; a secret's value is not said.
        if said[0] == name and said != meant and "secret" not in f"{said}":
            return f"{said} for {meant}"
    if kind in ("features-changed", "declared-features-changed"):
        old, new = (set(strings(part.replace('\\"', '"'))) for part in reason.split(", new: ", 1))
        said = (set(cause["added"]), set(cause["removed"]))
        if said != (new - old, old - new):
            return f"{said} for {(new - old, old - new)}"
    if kind == "rustflags-changed":
        old, new = (" ".join(strings(part)) for part in reason.split(", new: ", 1))
        if (cause["old"], cause["new"]) != (old, new):
            return f"{(cause['old'], cause['new'])} for {(old, new)}"
    if kind in ("source-changed", "source-gone") and "ChangedFile" in reason:
        stale = strings(between(reason, "stale: ", ", stale_mtime"))[0]
        files = [*unit.get("files", []), cause["path"]]
        if not any(stale.endswith(path) or path.endswith(stale) for path in files):
            return f"{files} for {stale}"
    return None


def locked(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', text):
        found.setdefault(name, set()).add(version)
    return found


def check(report: dict, log: str, lock_before: str, lock_after: str) -> Verdict:
    """Holds a report of `rekindle explain --json` against the log of the calls that it is about."""
    units = [unit for unit in report["units"] if unit["cause"]]
    verdict = Verdict(units=len(units), waited=report["waited"], spared=report["waiting_saved"])
    verdict.kinds.update(unit["cause"]["because"] for unit in units)
    verdict.unexplained = [unit["unit"] for unit in units if unit["cause"]["because"] == "unexplained"]
    reasons: dict[tuple[str, str, str], list[Dirty]] = {}
    for dirty in dirty_units(log):
        reasons.setdefault((dirty.package, dirty.target, dirty.mode), []).append(dirty)
    for dirties in reasons.values():
        # Several units of one name: whichever of them each reason is about.
        candidates = [unit for unit in units if dirties[0].is_in(unit)]
        for dirty in dirties:
            if dirty.reason != "FreshBuild":
                verdict.false.extend(judge(dirty, candidates))
        if all(dirty.reason != "FreshBuild" for dirty in dirties):
            verdict.false.extend(
                f"{unit['unit']}: {unit['cause']['because']}, and its folder was there: {dirties[0].reason}"
                for unit in candidates
                if unit["cause"]["because"] in OF_NEW_FOLDERS
            )
    before, after = locked(lock_before), locked(lock_after)
    for unit in units:
        cause = unit["cause"]
        if cause["because"] != "lock-bumped":
            continue
        name = cause["package"]
        gone, new = before.get(name, set()) - after.get(name, set()), after.get(name, set()) - before.get(name, set())
        # Each unit has one old version; of several that came, any may have taken over.
        if cause["old"] not in gone or not set(cause["new"].split(", ")) <= new:
            verdict.false.append(
                f"{unit['unit']}: a bump {cause['old']} to {cause['new']}, and the lock file says {gone} to {new}"
            )
    return verdict


def judge(dirty: Dirty, candidates: list[dict]) -> list[str]:
    name = f"{dirty.package} {dirty.target} ({dirty.mode}): {dirty.reason}"
    fitting = [unit for unit in candidates if unit["cause"]["because"] in kinds_of(dirty.reason)]
    if not fitting:
        return [f"{name}\n              said: {[unit['cause'] for unit in candidates]}"]
    wrong = [disagrees(dirty, unit) for unit in fitting]
    return [f"{name}\n              values: {wrong[0]}"] if all(wrong) else []

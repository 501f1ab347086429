"""Alarms of a training: what can go wrong, what is said when it does, and what the recipe wants done about it."""

from typing import Literal, TypeAlias, get_args

from data_contracts.vocabulary import Config

TrainingKind: TypeAlias = Literal["sft", "dpo", "grpo"]

AlarmName: TypeAlias = Literal[
    "entropy_collapse",
    "diversity_collapse",
    "saturation",
    "stall",
    "kl_divergence",
    "gradient_explosion",
    "loss_spike",
    "not_finite",
    "length_runaway",
    "truncation",
    "verifier_failures",
    "no_spread",
    "over_fitting",
    "reward_hacking",
    "both_falling",
]

Response: TypeAlias = Literal["off", "note", "pause", "stop", "back", "halve_learning_rate", "raise_entropy"]
"""What an alarm leads to.

`off`: its rule is not asked. `note`: it is said, and nothing else. `pause`: a checkpoint is written and the stage ends
interrupted; a rerun continues, and the alarm counts as seen. `stop`: the stage fails with the alarm's sentence.
`back`: the newest checkpoint from before the trouble began becomes the result. The others continue with one change:
half the learning rate, a higher entropy bonus."""

_DECISIVE: frozenset[Response] = frozenset({"back", "halve_learning_rate", "raise_entropy"})

_EVERYWHERE: frozenset[AlarmName] = frozenset({"not_finite", "gradient_explosion", "stall"})
_SUPERVISED: frozenset[AlarmName] = frozenset({"loss_spike", "over_fitting"})
_PAIRS: frozenset[AlarmName] = frozenset({"both_falling"})
ALARMS_OF: dict[TrainingKind, frozenset[AlarmName]] = {
    "sft": _EVERYWHERE | _SUPERVISED,
    "dpo": _EVERYWHERE | _SUPERVISED | _PAIRS,
    "grpo": frozenset(get_args(AlarmName)) - _SUPERVISED - _PAIRS,
}
"""Which alarms a kind of training has. GRPO's loss is 0 on average whatever the policy does, so it has no spikes worth
a word; and where its reward improves without its held-out accuracy, that is `reward_hacking`, memorised or exploited
alike."""

_ONLY_GRPO: frozenset[Response] = frozenset({"raise_entropy"})


class Alarm(Config):
    """One alarm that went off."""

    step: int
    """At which it went off."""

    since: int
    """The last step at which all was still well: a checkpoint at or before it is a good one."""

    name: AlarmName
    metric: str
    """The one that shows it, as logged."""

    reason: str
    """One sentence with the numbers."""

    response: Response


class AlarmPolicy(Config):
    """What is done about each alarm.

    No default changes a result. All are noted, except two. `not_finite` stops: once a loss or a gradient is no number,
    the next update makes the weights so, no step after it can help, and to go back in silence would hide a bug or a
    learning rate that the next run will meet again. `reward_hacking` pauses: it is the one fault in which every
    further step makes the model worse while the reward says better, and a pause loses nothing: whoever looks at the
    samples and finds them good reruns, and gets the result that no pause would have changed. A `gradient_explosion`
    is noted only, since the norm is clipped before the update, and what it does to the model shows in the other alarms.
    """

    entropy_collapse: Response = "note"
    diversity_collapse: Response = "note"
    saturation: Response = "note"
    stall: Response = "note"
    kl_divergence: Response = "note"
    gradient_explosion: Response = "note"
    loss_spike: Response = "note"
    not_finite: Response = "stop"
    length_runaway: Response = "note"
    truncation: Response = "note"
    verifier_failures: Response = "note"
    no_spread: Response = "note"
    over_fitting: Response = "note"
    reward_hacking: Response = "pause"
    both_falling: Response = "note"

    def responses(self) -> dict[AlarmName, Response]:
        """By alarm."""
        return {name: getattr(self, name) for name in get_args(AlarmName)}

    def decisive(self) -> dict[AlarmName, Response]:
        """Those of them that give other weights: a training that was stopped or paused has none, or the usual ones."""
        return {name: how for name, how in self.responses().items() if how in _DECISIVE}

    def require_fits(self, kind: TrainingKind) -> None:
        """ValueError where the policy names what a training of this kind does not have."""
        usual = AlarmPolicy().responses()
        named = {name: how for name, how in self.responses().items() if how != usual[name]}
        if strange := sorted(named.keys() - ALARMS_OF[kind]):
            has = ", ".join(sorted(ALARMS_OF[kind]))
            raise ValueError(f"{kind} has no alarm {' or '.join(strange)}; it has {has}")
        if kind != "grpo" and (strange := sorted(name for name, how in named.items() if how in _ONLY_GRPO)):
            raise ValueError(
                f"{strange[0]}: {named[strange[0]]} changes what only grpo has; choose another response for {kind}"
            )

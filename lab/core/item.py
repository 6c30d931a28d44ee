"""One item of a global table: which write won, and which region is known to hold it.

Every region's stream tells in order what that region holds: local writes, and the replicator's own applies, which
are marked. An `Item` is what follows from all that was read so far. The functions below take an item and something
that was observed and give the item after it; they are the last-writer-wins rule and nothing else. Who is told when is
`lab.core.replication`.

**The race.** An apply and a local write of the same item can meet at a region in either order, and the replicator
learns of the apply by its answer before it reads the stream. So what a region holds carries a *position*: how far into
that region's stream it is true. An answer says at which position the apply took place; a record is at its own. Only
what is later replaces what is known. If a local write L came before an apply A, the stream shows L, then A: the region
is known to hold A, and if L is the newer write it is applied there again. If L came after A, the region holds L, and if
A is the newer (a clock was off) A is applied again. Either way the winner is what ends up there, and a late apply
that was given up as timed out is noticed in the same way, by its mark. Engines that can be fenced refuse an apply
while the stream holds a local write that was not read, so that readers there do not even see A in between.

Contents are compared by digest: writing what is there already makes no stream record, on AWS as in the lab.
Image bytes are opaque here; digest 0 stands for no item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from lab.core.conflict import OLDEST, Version

NO_POSITION = -1


class Held(NamedTuple):
    """What a region holds: content, the write that it comes from, and the stream position up to which this is known."""

    version: Version
    digest: int
    position: int = NO_POSITION


@dataclass(frozen=True, slots=True)
class Item:
    """The winning write of an item, and what each region holds of it.

    `image` is the winner's content while it is kept (None also for a tombstone, whose `digest` is 0). A region that is
    not in `held` is not known to hold anything.
    """

    winner: Version
    digest: int
    image: bytes | None
    held: Mapping[str, Held]

    @property
    def is_tombstone(self) -> bool:
        return self.digest == 0

    @property
    def has_image(self) -> bool:
        """Whether the winner can be applied somewhere."""
        return self.digest == 0 or self.image is not None

    def holds(self, region: str) -> bool:
        """Whether a region is known to hold the winner's content."""
        held = self.held.get(region)
        return held is not None and held.digest == self.digest

    def lacking(self, replicas: Iterable[str]) -> list[str]:
        """The replicas that are not known to hold the winner's content."""
        return [region for region in replicas if not self.holds(region)]

    def source(self, replicas: Iterable[str]) -> str | None:
        """The region that the winner is shipped from: where it was written, or else the first that holds it."""
        if self.holds(self.winner.region):
            return self.winner.region
        return next((region for region in replicas if self.holds(region)), None)


class Record(NamedTuple):
    """A stream record. `old_*` is what it replaced; `mark` is the version that one of our own applies wrote.

    `held_digest` is of what the region has, where that is not `image`: in global tables of version 2017.11.29 a local
    write is completed by attributes that are written afterwards.
    """

    key: bytes
    time_ms: int
    position: int
    image: bytes | None
    digest: int
    old_image: bytes | None
    old_digest: int
    mark: Version | None = None
    held_digest: int | None = None


def after_write(item: Item | None, region: str, record: Record, skew_ms: int = 0) -> tuple[Item, Version | None]:
    """The item after a local write of `region`, and the version that the write is in conflict with, if any.

    A write conflicts with the winner of the moment if that was seen to be written in another region and was not what
    the write replaced.
    """
    version = Version(record.time_ms + skew_ms, region, record.position)
    digest = record.digest if record.held_digest is None else record.held_digest
    if item is None:
        return Item(version, record.digest, record.image, {region: Held(version, digest, record.position)}), None
    held = _at_position(item.held, region, Held(version, digest, record.position))
    against = item.winner if item.winner.region not in (region, OLDEST.region) else None
    if version > item.winner:
        if record.old_digest == item.digest:
            against = None
        if record.digest == item.digest:  # the same content again, or a scan has met it before its record was read
            held = {r: Held(version, h.digest, h.position) if h.digest == record.digest else h for r, h in held.items()}
        return Item(version, record.digest, record.image, held), against
    if version == item.winner:
        against = None
    return replace(item, held=held, image=_rescued(item, record)), against


def after_mark(item: Item | None, region: str, record: Record) -> Item | None:
    """The item after a record of one of our own applies (its `mark`), which may be a late one of an older version.

    It may also be one that nobody knew to have arrived when its origin was lost: then it is the winner after all.
    """
    assert record.mark is not None
    content = Held(record.mark, record.digest, record.position)
    if item is None:
        return Item(record.mark, record.digest, record.image, {region: content}) if record.digest else None
    held = _at_position(item.held, region, content)
    if record.mark > item.winner:
        return Item(record.mark, record.digest, record.image, held)
    image = _rescued(item, record)
    return item if held is item.held and image is item.image else replace(item, held=held, image=image)


def after_apply(item: Item, region: str, version: Version, digest: int, position: int) -> Item:
    """The item after `region` answered an apply of `version` that took place at `position` of its stream.

    As in `after_mark`, the answer may come after the loss of the write's origin; the image is then the region's.
    """
    held = _at_position(item.held, region, Held(version, digest, position))
    if version > item.winner:
        return Item(version, digest, None, held)
    return item if held is item.held else Item(item.winner, item.digest, item.image, held)


def after_scan(item: Item | None, region: str, image: bytes, digest: int, position: int) -> Item:
    """The item after it was read from `region`'s table at a position of its stream.

    Content that nobody saw being written is the oldest version. Content other than the winner's says nothing: a
    record of it is still to come from the stream, or is known.
    """
    if item is None:
        return Item(OLDEST, digest, image, {region: Held(OLDEST, digest, position)})
    if digest != item.digest:
        return item
    held = item.held
    if not item.holds(region):
        held = _at_position(held, region, Held(item.winner, digest, position))
    return replace(item, image=image if item.image is None else item.image, held=held)


def after_loss(item: Item, region: str) -> tuple[Item | None, bool]:
    """The item after `region` lost its data, and whether the winner was lost with it.

    A write that was captured in another region is not, even if an apply has just overtaken it there. What wins
    otherwise is the newest that another region holds; its image has to be read from there. None if nothing is left.
    """
    held = {name: content for name, content in item.held.items() if name != region}
    captured_elsewhere = item.winner.region != region and item.has_image
    if captured_elsewhere or any(content.digest == item.digest for content in held.values()):
        return replace(item, held=held), False
    return newest_held(held), True


def newest_held(held: Mapping[str, Held]) -> Item | None:
    """What wins of that which regions are known to hold; its image has to be read there. None if there is nothing."""
    if not held:
        return None
    best = max(held.values(), key=lambda content: (content.version, content.digest))
    return Item(best.version, best.digest, None, held)


def _at_position(held: Mapping[str, Held], region: str, content: Held) -> Mapping[str, Held]:
    known = held.get(region)
    if known is not None and known.position >= content.position and known.position != NO_POSITION:
        return held
    return {**held, region: content}


def _rescued(item: Item, record: Record) -> bytes | None:
    """The winner's image, from the record that replaced it if it was not kept."""
    if item.image is None and item.digest != 0 and record.old_digest == item.digest:
        return record.old_image
    return item.image

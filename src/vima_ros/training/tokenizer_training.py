"""Training of the bundled tokenizer: ``python -m vima_ros.training.tokenizer_training OUT``.

Byte-pair merges with T5's conventions: <pad> 0, </s> 1, <unk> 2, a word begins with a bar, the end
of the sequence is marked. A character that was never seen becomes bytes, so no text is unknown.
The same sentences give the same file, to the byte.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from itertools import cycle, product

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from vima_ros.paths import path_argument

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SPECIAL = (PAD, END, UNKNOWN)
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
BAR = "▁"
MAX_PIECES = 1200  # besides SPECIAL and BYTES

# The 17 tasks of VIMA-Bench. [slot] stands for one of SLOTS, {name} for an image.
TEMPLATES = (
    "Put the {dragged_obj_1} into the {base_obj}.",
    "Put the [texture] object in {scene} into the [texture] object.",
    "Rotate the {dragged_obj} [angle] degrees.",
    "Rearrange to this {scene}.",
    "Rearrange objects to this setup {scene} and then restore.",
    "{demo_blicker_obj_1} is [adjective] than {demo_less_blicker_obj_1}. "
    "{demo_blicker_obj_2} is [adjective] than {demo_less_blicker_obj_2}. "
    "Put the [adjective] {dragged_obj} into the {base_obj}.",
    "Put the less [adjective] {dragged_obj} into the {base_obj}.",
    "This is a [noun] {dragged_obj_1}. This is a [noun] {base_obj}. Put a [noun] into a [noun].",
    "This is a [noun] {dragged_obj}. Put the less [adjective] [noun] into the [noun].",
    '"Twist" is defined as rotating object a specific angle. For examples: '
    "From {before_twist_1} to {after_twist_1}. From {before_twist_2} to {after_twist_2}. "
    "From {before_twist_3} to {after_twist_3}. Now twist all [texture] objects.",
    "Follow this motion for {dragged_obj}: {frame_0} {frame_1} {frame_2}.",
    "Stack objects in this order {frame_0} {frame_1} {frame_2}.",
    "Sweep [count] {swept_obj} into {bounds} without exceeding {constraint}.",
    "Sweep [count] {swept_obj} into {bounds} without touching {constraint}.",
    "Put all objects with the same texture as {base_obj} into it.",
    "Put all objects with the same profile as {base_obj} into it.",
    "First put {dragged_obj} into {base_obj} then put the object that was previously at its "
    "[direction] into the same {base_obj}.",
    "Put {dragged_obj} into {base_obj_1} then {base_obj_2}. "
    "Finally restore it into its original container.",
)

# The same wishes as a person may put them, with images or with names.
PARAPHRASES = (
    "Please pick up the [texture] [thing] and place it in the [texture] [base].",
    "Pick the {object} and drop it on the [base].",
    "Take the [thing] next to the [base] and move it to the [direction] of the {target}.",
    "Move the [size] [texture] [thing] to the [side] side of the table.",
    "Turn the [thing] by [angle] degrees clockwise.",
    "Rotate {object} counterclockwise by [angle] degrees and leave it where it is.",
    "Push [count] of the [texture] [thing] pieces to the [side] without crossing the line.",
    "Sweep the [size] [thing] pieces off the [base], but do not touch the [texture] [thing].",
    "Arrange everything on the table like this: {scene}. Then put it back as it was before.",
    "Tidy up: put every [texture] [thing] into the [base] and the others beside it.",
    "Stack the [thing] on top of the [size] [thing], then grasp the [thing] below.",
    "First lift the {object}, second place it between the [base] and the [thing].",
    "Which is [adjective]? Put that one in the [texture] [base], not the other.",
    "Sort the objects by color, shape and size; the [texture] ones go to the [side].",
    "Hand me the [thing] from the [base] in front of the robot arm.",
    "Clean the table with the spatula and gather the [thing] pieces in the [base].",
)

COLOURS = ("blue", "red", "green", "orange", "yellow", "purple", "pink", "cyan", "olive")
PATTERNS = ("brick", "tiles", "wooden", "granite", "plastic", "polka dot", "checkerboard", "tiger")
PAIRS = tuple(f"{a} and {b}" for a, b in product(COLOURS[:6], COLOURS[:6]) if a != b)
TEXTURES = (
    *COLOURS,
    *(f"dark {colour}" for colour in COLOURS),
    *(*PATTERNS, "magma", "rainbow"),
    *(f"{pair} {kind}" for pair, kind in zip(PAIRS, cycle(("stripe", "polka dot")), strict=False)),
    *(f"{colour} {kind}" for colour, kind in product(COLOURS[:6], ("swirl", "paisley"))),
)
SLOTS = {
    "texture": TEXTURES,
    "angle": ("30", "45", "60", "90", "120", "150", "180"),
    "adjective": ("daxer", "blicker", "modier", "kobar", "taller", "shorter", "darker", "lighter"),
    "noun": ("dax", "blicket", "wug", "zup"),
    "count": ("any", "one", "two", "three", "all", "four", "five", "some"),
    "direction": ("north", "south", "west", "east"),
    "side": ("left", "right", "front", "back", "top", "bottom", "near", "far"),
    "size": ("small", "smaller", "large", "larger", "big", "little", "tall", "short", "long"),
    "base": (
        *(
            "bowl",
            "pan",
            "pallet",
            "frame",
            "square",
            "container",
            "three-sided rectangle",
            "line",
        ),
        *("plate", "box", "basket", "tray", "bin", "cup", "mug", "shelf", "drawer", "table"),
    ),
    "thing": (
        *("block", "shorter block", "small block", "letter A", "letter E", "letter G", "letter M"),
        *("letter R", "letter T", "letter V", "cross", "triangle", "L-shaped block", "ring"),
        *("round", "diamond", "flower", "heart", "hexagon", "pentagon", "star", "cube", "ball"),
        *("cylinder", "bottle", "can", "fork", "knife", "spoon", "apple", "banana", "lemon"),
        *("orange", "pen", "pencil", "screw", "bolt", "nut", "gear", "toy", "brush", "sponge"),
        *("scissors", "tape", "towel", "cloth", "book", "key", "lid", "jar", "bag", "tool"),
    ),
}

# Ordinary words of table-top work that the sentences above do not hold.
WORDS = """
about above across after again align along already also always another around aside assemble at
away bring build carry center centre change choose circle close collect color colour corner cover
cut detach different down drag each edge empty every exactly face fill find finish fit flat flip
fold forward from get give goal grab grip group half hammer hand hold hole home if inside insert
instead it join just keep last later lay leave level lift light like look lower make many match
middle mirror more most mount narrow never next no none now nothing object objects of off on once
only open opposite or order other out outside over pack pair part pattern pick piece pieces place
please point position pour press previous pull push put reach rectangle release remove repeat
replace reset rest restore return reverse right rim robot roll rotation row same scene second
separate set shape side slide slowly solid sort space split stand start step still stop store
straight surface swap take target task than that their them then there these they third this those
through tilt to together touch toward towards tower turn twice under underneath until up upright
upside use wait wall what when where which while white whole wide wipe with within without wood
work wrap yes you your black brown gray grey silver gold metal paper glass rubber soft hard heavy
light wet dry clean dirty old new first six seven eight nine ten zero 1 2 3 4 5 6 7 8 9 10 15 20 25
35 40 50 70 75 80 100 135 270 360
"""


def sentences() -> Iterator[str]:
    """Return the training text, in a fixed order, without images.

    Each template takes every value of its slots at least once, so the templates and the words
    decide what becomes a token, not chance.
    """
    for template in TEMPLATES + PARAPHRASES:
        values = {name: cycle(choices) for name, choices in SLOTS.items()}
        for _ in range(max(len(choices) for choices in SLOTS.values())):
            parts = re.split(r"\[(\w+)\]", template)  # text, slot, text, slot, …
            parts[1::2] = [next(values[slot]) for slot in parts[1::2]]
            filled = "".join(parts)
            yield re.sub(r"\{\w+\}", " ", filled)
    names = [name for choices in SLOTS.values() for name in choices]
    for _ in range(4):
        yield from names
        yield from WORDS.split()


def _cutting(model: models.Model) -> Tokenizer:
    """Build a tokenizer that splits text into words as T5 does, and punctuation off them."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            # The bar means a space, so it cannot mean itself.
            normalizers.Replace(Regex(rf"[\s{BAR}]+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(BAR, prepend_scheme="always"),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    return tokenizer


def _learn() -> tuple[list[str], list[tuple[str, str]]]:
    """Learn the pieces, in order of discovery, and the merged pairs."""
    tokenizer = _cutting(models.BPE())
    printable = [chr(code) for code in range(0x21, 0x7F)]
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_PIECES,
        initial_alphabet=[*printable, BAR],
        limit_alphabet=len(printable) + 1,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return pieces, [(left, right) for left, right in model["merges"]]


def train() -> Tokenizer:
    """Train the complete tokenizer."""
    pieces, merges = _learn()
    vocabulary = {piece: word for word, piece in enumerate((*SPECIAL, *BYTES, *pieces))}
    tokenizer = _cutting(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(BAR, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, vocabulary[END])]
    )
    return tokenizer


def main() -> None:
    """Train and write the file."""
    parser = argparse.ArgumentParser(description="Train the tokenizer of vima_ros.")
    parser.add_argument(
        "out", type=path_argument, metavar="OUT", help="Output file, tokenizer.json"
    )
    out = parser.parse_args().out
    tokenizer = train()
    out.write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    print(f"{out}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()

"""Texts to be spoken: random words by frequency, everyday sentences, and sentences full of lips."""

from __future__ import annotations

import numpy as np

_LIPS_EN = (
    "Peter Piper picked a peck of pickled peppers. Bob and Pam bought a big blue bumper boat. "
    "My mum made me a map of Miami. Pay the bill, baby, before it becomes a problem. "
    "Five very fine foxes favour fresh veal. We saw a whale with a wide white tail. "
    "She sells sea shells by the sea shore. Three thin thieves thought a thousand thoughts. "
    "You knew the new blue moon. Oh no, go home, Joe. Maybe the amber lamp is above the box. "
    "People imply that simple problems remain impossible. A tiny baby bumped my pumpkin. "
    "Put the empty cup upon the pub table. Member, number, lumber, camper, symbol, bumble bee. "
    "I hope that Abby and Robin happily swam past the submarine. The chef should judge each cherry. "
    "Why would one wear wool in warm weather? Few views of the valley have ever felt so vivid."
)

_PINYIN = [
    "ba", "pa", "ma", "fa", "da", "ta", "na", "la", "ga", "ka", "ha", "za", "ca", "sa", "zha", "cha", "sha", "bo",
    "po", "mo", "fo", "de", "te", "ge", "ke", "he", "zhe", "che", "she", "ri", "zi", "ci", "si", "bai", "pai", "mai",
    "dai", "tai", "lai", "gai", "hai", "bei", "mei", "fei", "lei", "hei", "bao", "pao", "mao", "dao", "tao", "lao",
    "gao", "hao", "zhou", "chou", "shou", "dou", "tou", "lou", "gou", "ban", "pan", "man", "fan", "dan", "tan",
    "nan", "lan", "ben", "men", "fen", "gen", "hen", "zhen", "shen", "bang", "mang", "fang", "dang", "tang", "lang",
    "gang", "hang", "bi", "pi", "mi", "di", "ti", "ni", "li", "ji", "qi", "xi", "yi", "jia", "qia", "xia", "jie",
    "qie", "xie", "biao", "piao", "miao", "xiao", "diu", "niu", "liu", "jiu", "qiu", "xiu", "bian", "pian", "mian",
    "dian", "tian", "nian", "lian", "jian", "qian", "xian", "bin", "pin", "min", "lin", "jin", "qin", "xin", "ming",
    "ding", "ting", "ling", "jing", "qing", "xing", "bu", "pu", "mu", "fu", "du", "tu", "nu", "lu", "gu", "ku", "hu",
    "zhu", "chu", "shu", "wu", "gua", "kua", "hua", "guo", "kuo", "huo", "duo", "tuo", "luo", "zuo", "cuo", "suo",
    "shui", "gui", "kui", "hui", "dui", "tui", "guan", "kuan", "huan", "duan", "tuan", "zhun", "chun", "shun",
    "guang", "kuang", "huang", "dong", "tong", "long", "gong", "kong", "zhong", "chong", "nv", "lv", "ju", "qu",
    "xu", "jue", "que", "xue", "yue", "juan", "quan", "xuan", "yuan", "jun", "qun", "xun", "yun", "jiong", "xiong",
    "yong",
]  # fmt: skip


class Texts:
    """Endless sentences of one language. Words come from the `wordfreq` package's lists."""

    def __init__(self, language: str, generator: np.random.Generator) -> None:
        self.language, self.generator = language, generator
        if language == "zh":
            self.words, self.lips = _PINYIN, [w for w in _PINYIN if w[0] in "bpmf"]
        else:
            from wordfreq import top_n_list

            found = [w for w in top_n_list(language, 6000) if w.isalpha()]
            self.words = found
            labials = {"ru": "пбмфв", "hi": "पबमफव", "ar": "بمفو"}.get(language, "pbmfvw")
            self.lips = [w for w in found if sum(c in labials for c in w) >= (2 if len(w) > 5 else 1)]

    def __call__(self) -> str:
        """One sentence of 4 to 12 words (of syllables for Mandarin)."""
        pick = self.generator
        kind = pick.random()
        if self.language == "en" and kind < 0.06:
            sentences = _LIPS_EN.split(". ")
            return sentences[pick.integers(len(sentences))]
        count = int(pick.integers(4, 12))
        lips = pick.random(count) < (0.5 if kind < 0.4 else 0.1)
        chosen = []
        for wanted in lips:
            source = self.lips if wanted else self.words
            rank = int(len(source) * pick.random() ** 1.6)
            chosen.append(source[rank])
        if self.language == "zh":
            chosen = [w + str(pick.integers(1, 5)) for w in chosen]
        elif pick.random() < 0.35 and count > 6:
            chosen[count // 2] += ","
        return " ".join(chosen) + "."

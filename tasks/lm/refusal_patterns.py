"""What a clause of an answer does, told by its words: declines, dissuades, offers something else, apologises, ... Pure.

Patterns are matched on normalised text (tasks/lm/refusal.py): lower case, straight quotes, contractions written out
("can't" → "cannot", "won't" → "will not"). How much each counts is learned (tasks/gate/refusal_training.py), so a
pattern needs to be telling, not exact.
"""

import re

from tasks.lm.refusal_declining import (
    ADVERB,
    DECLINES,
    IDIOM,
    NEGATES,
    NOT,
    REFUSES_TO_ACT,
    REJECTS,
    TURNS_AWAY,
)
from tasks.lm.refusal_languages import DECLINES_ELSEWHERE

PLEADS = (
    r"\bplease (?:do not|never|stop|reconsider|think|leave|respect|put|give it|rethink|consider|stay|keep away|"
    r"get (?:some )?help)\b",
    r"\bi (?:would )?(?:strongly |really )?(?:urge|beg|implore|advise you not|advise against|ask you|"
    r"hope (?:that )?you (?:will not|do not|will reconsider))\b|\badvise against\b",
    r"\bthink (?:again|twice|it over|about the|of the)\b|\breconsider\b|\bwalk away\b|\bs'il (?:te|"
    r"vous) plaît,? ne\b|\bpor favor,? n[oã]o?\b|\bper favore,? non\b",
    r"\bbitte (?:tu|mach\w*)\b.*\b(?:nicht|nichts)\b",
)

FORBIDS = (
    r"^(?:do not|never|stop)\b",
    r"\b(?:do not|never) (?:do|try|take|go|hurt|kill|harm|act|send|drive|use) (?:it|this|that|there|anyone|anybody|"
    r"someone|yourself|on|him|her|them)\b",
)

WARNS = (r"\byou (?:really |absolutely )?(?:should not|must not|ought not)\b",)

CONDEMNS = (
    r"\b(?:cheats?|robs?|betrays?|wrecks?|terrif(?:y|ies)|frightens?|exploits?|invades?|endangers?|violates?|"
    r"misleads?|deceives?|destroys?|wounds?|ruins?|humiliat\w+|breaks? (?:the|her|his) (?:law|trust)|"
    r"against the law)\b",
    r"\b(?:is|are|would be|was|be|it's|it is) (?:(?!not|never)\w+ )?(?:a (?:\w+ )?crime|illegal|wrong|theft|fraud|"
    r"stealing|abuse|harassment|cruel|unethical|harmful|dangerous|immoral|unlawful|cheating|unfair|not (?:okay|"
    r"right|ok|fair|the answer|a solution)|never (?:okay|ok|the answer|right)|discrimination|rape|assault|murder|"
    r"violence|blackmail|against the law|hate(?:ful)?|deadly|a scam|serious|bullying|stalking|perjury|"
    r"identity theft|extortion|forgery|forged|coercion|forced|bigotry|voyeurism|misconduct|poisoning|dishonest|"
    r"criminal|racist|phishing|counterfeit|a grave|elder abuse|defamation|a hoax|no joke|none of)\b",
    r"\b(?:strafbar|illegal\w*|verboten|ilegal|delito|crime|reato|diebstahl|betrug|robo|roubo|vol|furto|interdit|"
    r"gewalt|violence|violencia|violenza|violência)\b",
)

HARMS = (
    r"\b(?:hurt|harm|injure|kill|ruin|destroy|scar|endanger|traumati[sz]e)(?:s|ing|ed)? (?:\w+ )?(?:people|someone|"
    r"somebody|others|anyone|lives|life|you|them|him|her|children|kids|animals|everyone|person)\b",
    r"\b(?:could|would|might|can|may) (?:\w+ )?(?:hurt|harm|injure|kill|die|ruin|destroy|wreck|get hurt|put|end up|"
    r"stop your heart|go to (?:jail|prison))\b",
    r"\b(?:lives at risk|in danger|no place here|never the answer|not the answer|condone|nothing good|make (?:it|"
    r"things) worse|revenge|prison)\b",
)

VALUES = (r"\b(?:deserves?|dignity|respect(?:ed|ful)?|consent|safety|innocent|privacy|trust(?:ed)?)\b",)

REFERS = (
    r"\b(?:call|phone|ring|text|contact|dial|reach out|speak|talk|turn|see|visit|consult|ask|write|"
    r"go) (?:\w+ )?(?:to |with )?(?:\w+ ){0,3}(?:988|911|112|999|someone|somebody|friend|professional|doctor|"
    r"pharmacist|lawyer|attorney|therapist|counsell?or|police|helpline|hotline|line|support|customer|emergency|"
    r"adult|adviser|advisor|locksmith|clinic|bank|team|branch|service|hr)\b",
    r"\bplease (?:contact|call|see|consult|ask|reach|get in touch|direct|speak|talk|go through|visit|write|phone|"
    r"ring|check|use|seek)\b",
    r"\b(?:rufen sie|wenden sie|wende dich|ruf|arzt|telefonseelsorge|appelez|consultez|veuillez|contactez|llama|"
    r"llame|consulta|médico|medico|rivolgiti|chiama|consulte|ligue|fala com|parla con)\b",
)

CARES = (
    r"\b(?:crisis line|helpline|hotline|988|emergency (?:number|services|room)|mental health|get help|seek help|"
    r"not alone|someone you trust)\b",
    r"\b(?:call|tell|talk to|reach out to|be with) (?:someone|somebody|a friend|anyone)\b|\bworried about you\b|"
    r"\byou (?:matter|deserve)\b",
)

OFFERS = (
    r"\bi (?:can|could|would be|will) (?:\w+ )?(?:help|explain|suggest|offer|tell you about|write|talk|show|happily|"
    r"gladly|glad|happy|recommend|list|point|discuss|share|work|make|describe|answer)\b",
    r"\b(?:happy|glad|delighted|pleased) to (?:help|talk|discuss|explain|suggest|assist|list|work|write|answer|"
    r"play)\b|\bi am (?:here|listening)\b|\bhere to (?:help|talk|listen)",
    r"\binstead\b|\brather than\b|\bhow about\b|\bwhy not\b|\bwould you (?:like|rather|prefer)\b|^want (?:me )?to\b|"
    r"\byou want (?:me )?to\b|\bcan (?:i|we) (?:\w+ )?(?:help|interest|talk)|\bif you (?:like|want)\b",
    r"\b(?:better|safer|legal|other|honest|kinder|healthier) (?:way|ways|plan|option|options|idea)\b",
)

IDIOMS = (
    rf"\b(?:i|we|you){ADVERB} (?:{NOT}|do not|refuse to|am not going to|am not)(?: \w+)? (?:{IDIOM}|lie|kidding)",
    r"\bno (?:problem|worries|doubt|wonder|need|matter which|pain)\b|\bnever mind\b|\bcount me (?:in|among)\b|"
    r"\bsorry not sorry\b",
)

UNSURE = (
    r"\bi (?:do not|really do not|honestly do not) (?:know|have (?:any |enough |the |a )?(?:information|idea|figure|"
    r"details)|recall|remember|understand|quite|see)\b|\bno idea\b",
    r"\b(?:i am )?not (?:\w+ )?(?:sure(?! (?:that )?(?:i should|it would|that is something|this is something))|"
    r"certain|aware|familiar|clear|enough|mentioned|known)\b|\bhard to (?:say|tell)\b|\bit depends\b|\b(?:unknown|"
    r"nobody knows|no one knows)\b|\bnever heard\b",
    r"\b(?:i|we) (?:could|can) ?not (?:say|tell(?: you)?)(?: when| where| who| how| what|$|[.!])|\bno (?:clue|data|"
    r"figures|details|idea)\b|\b(?:not able|unable|could not|cannot|did not|not) (?:to )?find\b|\bbeats me\b|"
    r"\bnot a clue\b|\bi cannot tell\b(?! you)",
    r"\b(?:text|document|passage|article|file)s? (?:does not|do not|gives no|has no|doesn)|\bno (?:information|"
    r"record|mention)\b|\bnot (?:find|found|mentioned)\b|\bfor sure\b",
    r"\bweiß (?:ich )?(?:es |das )?(?:leider )?nicht\b|\bnicht sicher\b|\bje ne sais pas\b|\bpas sûr\w*|"
    r"\bno (?:lo )?sé\b|\bno estoy segur\w+|\bnon (?:lo )?so\b|\bnon sono sicur\w+|\bnão sei\b|"
    r"\bnão tenho (?:a )?certeza\b",
)

APOLOGISES = (
    r"\b(?:sorry|apolog\w+|afraid|regret\w*|unfortunately|pardon|forgive me|sadly|lamento|desculp\w+|infelizmente|"
    r"leider|désolée?|malheureusement|lo siento|(?:des|l)afortunadamente|lamentablemente|mi dispiace|purtroppo|"
    r"tut mir leid|entschuldig\w+|sinto muito|me temo|perdón|scusa)\b",
)
SYMPATHISES = (
    r"\b(?:that|it|this) must (?:have been|be|feel)\b|\bglad (?:you|it|no|nobody|to hear|that)\b|"
    r"\bhappened to you\b|\bwent through\b|\bsorry (?:this|it|if|to)\b",
    r"\b(?:sorry|siento|sinto muito|dispiace|leid|désolée?)\b.{0,12}\b(?:hear|for (?:your|the|my|any)|about|"
    r"you (?:are|had|were)|that you|for your|dass|d'apprendre|que est\w+|che tu|lo de)\b",
    r"\b(?:confusion|mistake|mix-?up|error|delay|inconvenience|i meant|misread|late reply|trouble|correct(?:ed|"
    r"ion)?)\b|\bmy (?:mistake|bad)\b|\bapolog\w+ (?:for|could|letter)\b",
)

COMPLIES = (
    r"^(?:sure|of course|absolutely|certainly|okay|ok|yes|great|easy|happy to|here is|here are|here you|gladly|done|"
    r"thank|natürlich|gern|claro|bien sûr|certo|oui|sí|ja)\b(?! not)",
    r"\bhere (?:is|are|you go)\b|\bstep \d|\bfirst\b|\bthe (?:answer|trick|best way|sum|total) is\b|\bthat said\b|"
    r"\bstart (?:by|with)\b|\byou can\b|\byou could\b(?! try)",
    r"\b(?:usually|most|typically|generally|in general|about \d|around \d|the closest|according to|likely|tends? to|"
    r"often)\b",
)

OPINES = (
    r"\bi would (?:not|never|probably|still|say|take|go|ask|try|start|choose|pick|like|love)\b|\b(?:i think|"
    r"in my opinion|to be honest|honestly|my (?:advice|guess|favou?rite))\b",
)

WE = (r"\b(?:we|us|our)\b",)

ASKS = (r"\b(?:what|which|how|where|when|who|could you|can you|do you|is it|are you|would you|did you)\b.*\?$",)

_PATTERNS = {
    "refuses-to-act": REFUSES_TO_ACT,
    "declines": DECLINES,
    "rejects": REJECTS,
    "declines-elsewhere": DECLINES_ELSEWHERE,
    "negates": NEGATES,
    "turns-away": TURNS_AWAY,
    "pleads": PLEADS,
    "forbids": FORBIDS,
    "warns": WARNS,
    "condemns": CONDEMNS,
    "harms": HARMS,
    "values": VALUES,
    "refers": REFERS,
    "cares": CARES,
    "offers": OFFERS,
    "idiom": IDIOMS,
    "unsure": UNSURE,
    "opines": OPINES,
    "we": WE,
    "apologises": APOLOGISES,
    "sympathises": SYMPATHISES,
    "complies": COMPLIES,
    "asks": ASKS,
}


def _alternatives(pattern: str) -> list[str]:
    """The pattern cut at its outermost ``|``; none of the patterns holds a bracket or a bar as a plain sign."""
    parts, depth = [""], 0
    for sign in pattern:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """All patterns as one, with those that start at a word's edge under one test for it: several times as fast."""
    parts = [part for pattern in patterns for part in _alternatives(pattern)]
    at_edge = [part.removeprefix(r"\b") for part in parts if part.startswith(r"\b")]
    anywhere = [part for part in parts if not part.startswith(r"\b")]
    return re.compile("|".join([*anywhere, rf"\b(?:{'|'.join(at_edge)})"] if at_edge else anywhere))


TAGS = {name: _compiled(patterns) for name, patterns in _PATTERNS.items()}

#include "model/chat_template.h"

#include "tests/support.h"

namespace glassbox::model {
namespace {

using Messages = std::vector<Message>;

const Messages two_turns{{"user", "Hi"}, {"assistant", "Hello!"}, {"user", "How are you?"}};
const Messages with_system{{"system", "Be brief."}, {"user", "Hi"}};

std::string render(std::string_view source, const Messages& messages = {}, bool add_generation_prompt = false) {
  return ChatTemplate(source, "<s>", "</s>").render(messages, add_generation_prompt);
}
// The value of one expression, as {{ }} prints it.
std::string value(const std::string& expression) { return render("{{ " + expression + " }}", two_turns); }

// The formats of model families, each written from its documentation.

TEST(ChatFamilies, ChatMl) {
  const auto source =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
      "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
  EXPECT_EQ(render(source, with_system, true),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render(source, two_turns, false),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n"
            "<|im_start|>user\nHow are you?<|im_end|>\n");
}

constexpr const char* llama2 = R"({% if messages[0]['role'] == 'system' %}
{% set rest = messages[1:] %}
{% set system_message = messages[0]['content'] %}
{% else %}
{% set rest = messages %}
{% set system_message = false %}
{% endif %}
{% for message in rest %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{% endif %}
{% if loop.index0 == 0 and system_message != false %}
{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}
{% else %}
{% set content = message['content'] %}
{% endif %}
{% if message['role'] == 'user' %}
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}
{{ ' ' + content.strip() + ' ' + eos_token }}
{%- endif %}
{% endfor %})";

TEST(ChatFamilies, Llama2) {
  EXPECT_EQ(render(llama2, with_system), "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]");
  EXPECT_EQ(render(llama2, two_turns), "<s>[INST] Hi [/INST] Hello! </s><s>[INST] How are you? [/INST]");
}

TEST(ChatFamilies, WhatTheTemplateRaisesReachesTheUser) {
  EXPECT_ERROR(render(llama2, {{"user", "a"}, {"user", "b"}}),
               "chat template line 10: Conversation roles must alternate user/assistant/user/assistant/...");
}

TEST(ChatFamilies, Llama3) {
  const auto source = R"({{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
)";
  EXPECT_EQ(render(source, {{"system", " Be brief.\n"}, {"user", "Hi "}}, true),
            "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST(ChatFamilies, ZephyrAndTinyLlama) {
  const auto source =
      "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + "
      "eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
      "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n"
      "{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}";
  EXPECT_EQ(render(source, with_system, true), "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n");
  EXPECT_EQ(render(source, two_turns, false),
            "<|user|>\nHi</s>\n<|assistant|>\nHello!</s>\n<|user|>\nHow are you?</s>\n");
}

TEST(ChatFamilies, Gemma) {
  const auto source =
      "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
      "{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
      "{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | "
      "trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";
  EXPECT_EQ(render(source, two_turns, true),
            "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
            "<start_of_turn>user\nHow are you?<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_ERROR(render(source, with_system), "chat template line 1: System role not supported");
}

TEST(ChatFamilies, Mistral) {
  const auto source = R"({%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("roles must alternate") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if message == user_messages[-1] and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %})";
  EXPECT_EQ(render(source, two_turns), "<s>[INST] Hi[/INST] Hello!</s>[INST] How are you?[/INST]");
  EXPECT_EQ(render(source, with_system), "<s>[INST] Be brief.\n\nHi[/INST]");
  EXPECT_ERROR(render(source, {{"assistant", "?"}}), "chat template line 12: roles must alternate");
}

TEST(ChatFamilies, Phi3) {
  const auto source =
      "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + "
      "'<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif "
      "message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor "
      "%}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}";
  EXPECT_EQ(render(source, with_system, true), "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n");
  EXPECT_EQ(render(source, {{"user", "Hi"}}, false), "<|user|>\nHi<|end|>\n</s>");
}

TEST(PlainForm, IsUsedWithoutATemplateAndImpliesAStopString) {
  const ChatTemplate plain("", "<s>", "</s>");
  EXPECT_TRUE(plain.is_plain());
  EXPECT_EQ(plain.stop_strings(), std::vector<std::string>{"\nUser:"});
  EXPECT_EQ(plain.render(with_system, true), "Be brief.\n\nUser: Hi\nAssistant:");
  EXPECT_EQ(plain.render(two_turns, false), "User: Hi\nAssistant: Hello!\nUser: How are you?\n");
  EXPECT_TRUE(ChatTemplate("x", "", "").stop_strings().empty());
}

// Whitespace, as transformers sets Jinja up.

TEST(JinjaWhitespace, ABlockTagTakesItsIndentAndItsNewline) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc"), "a\n  b\nc");
}
TEST(JinjaWhitespace, AnOutputTakesNeither) { EXPECT_EQ(render("a\n  {{ 1 }}\nb"), "a\n  1\nb"); }
TEST(JinjaWhitespace, MinusTakesAllOnItsSide) {
  EXPECT_EQ(render("a \n {{- 1 -}} \n b {%- if 1 -%} c{% endif %}"), "a1bc");
}
TEST(JinjaWhitespace, PlusKeepsIt) { EXPECT_EQ(render(" {%+ if 1 +%}\nx{% endif %}"), " \nx"); }
TEST(JinjaWhitespace, ACommentIsABlock) { EXPECT_EQ(render("a\n  {# no #}\nb{#- no -#} c"), "a\nbc"); }
TEST(JinjaWhitespace, OneNewlineAtTheEndIsDropped) { EXPECT_EQ(render("a\r\nb\n\n"), "a\nb\n"); }
TEST(JinjaWhitespace, BracesInsideAnExpressionDoNotEndIt) {
  EXPECT_EQ(render("{{ {'a': {'b': 1}}}}"), "{'a': {'b': 1}}");
}

// Statements.

TEST(JinjaStatements, ForSeesItsLoop) {
  EXPECT_EQ(render("{% for x in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ x }}"
                   "{{ '.' if loop.last else ',' if not loop.first else ':' }}{% endfor %}"),
            "103a:212b,321c.");
  EXPECT_EQ(render("{% for x in [1,2,3] %}{{ loop.previtem or '-' }}{{ loop.nextitem or '-' }};{% endfor %}"),
            "-2;13;2-;");
}
TEST(JinjaStatements, ForFiltersUnpacksAndHasAnElse) {
  EXPECT_EQ(render("{% for x in range(6) if x is odd %}{{ x }}/{{ loop.length }} {% endfor %}"), "1/3 3/3 5/3 ");
  EXPECT_EQ(render("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}"), "a1b2");
  EXPECT_EQ(render("{% for x in nothing %}x{% else %}none{% endfor %}"), "none");
  EXPECT_ERROR(render("{% for a, b in [[1]] %}{% endfor %}"), "line 1: expected 2 values to unpack, found 1");
}
TEST(JinjaStatements, BreakAndContinue) {
  EXPECT_EQ(render("{% for x in range(9) %}{% if x == 1 %}{% continue %}{% elif x > 3 %}{% break %}{% endif %}{{ x "
                   "}}{% endfor %}"),
            "023");
}
TEST(JinjaStatements, WhatALoopSetsStaysInTheLoopUnlessInANamespace) {
  EXPECT_EQ(
      render("{% set a = 0 %}{% set ns = namespace(b=0) %}{% for x in [1, 2] %}{% set a = x %}{% set ns.b = ns.b + x %}"
             "{% endfor %}{{ a }}{{ ns.b }}"),
      "03");
}
TEST(JinjaStatements, SetUnpacksAndCapturesBlocks) {
  EXPECT_EQ(render("{% set a, b = [1, 2] %}{{ b }}{{ a }}"), "21");
  EXPECT_EQ(render("{% set a %}x{{ 1 }}{% endset %}[{{ a }}]"), "[x1]");
}
TEST(JinjaStatements, GenerationBlocksAreTransparent) {
  EXPECT_EQ(render("{% generation %}a{% endgeneration %}b"), "ab");
}

// Expressions.

TEST(JinjaExpressions, Arithmetic) {
  EXPECT_EQ(value("1 + 2 * 3 - 4"), "3");
  EXPECT_EQ(value("7 / 2"), "3.5");
  EXPECT_EQ(value("[7 // 2, -7 // 2, -7 % 3, 7 % -3]"), "[3, -4, 2, -2]");
  EXPECT_EQ(value("2 ** 3 + 0.5"), "8.5");
  EXPECT_EQ(value("1 ~ 'a' ~ none"), "1aNone");
  EXPECT_EQ(value("'ab' * 2 + 'c'"), "ababc");
  EXPECT_EQ(value("[1] + [2]"), "[1, 2]");
}
TEST(JinjaExpressions, ComparisonsChain) {
  EXPECT_EQ(value("1 < 2 <= 2 != 3"), "True");
  EXPECT_EQ(value("1 < 3 < 2"), "False");
  EXPECT_EQ(value("1 == 1.0 and 'a' < 'b'"), "True");
}
TEST(JinjaExpressions, LogicGivesItsOperands) {
  EXPECT_EQ(value("0 or 'x'"), "x");
  EXPECT_EQ(value("'' and 1 or not 2"), "False");
}
TEST(JinjaExpressions, Membership) {
  EXPECT_EQ(value("'ser' in 'user' and 'content' in messages[0] and 2 not in [1, 3]"), "True");
}
TEST(JinjaExpressions, Tests) {
  EXPECT_EQ(value("[x is defined, x is undefined, none is none, 'a' is string, {} is mapping, [] is iterable]"),
            "[False, True, True, True, True, True]");
  EXPECT_EQ(
      value("[1 is number, 3 is odd, 4 is even, 'a' is equalto 'a', true is true, 0 is false, 9 is divisibleby 3]"),
      "[True, True, True, True, True, False, True]");
  EXPECT_EQ(value("1 is not none and strftime_now is defined"), "True");
}
TEST(JinjaExpressions, IndicesAndSlices) {
  EXPECT_EQ(value("[messages[-1].role, messages[0]['content'], [1, 2].0]"), "['user', 'Hi', 1]");
  EXPECT_EQ(value("[range(5)[1:3], range(5)[::-1], range(5)[-2:], 'héllo'[1:3], 'abc'[::-1]]"),
            "[[1, 2], [4, 3, 2, 1, 0], [3, 4], 'él', 'cba']");
}
TEST(JinjaExpressions, MethodsOfStrings) {
  EXPECT_EQ(value("'  a b '.strip() ~ '|' ~ ' a '.lstrip() ~ '|' ~ ' a '.rstrip() ~ '|' ~ 'xay'.strip('xy')"),
            "a b|a | a|a");
  EXPECT_EQ(value("['a,b,c'.split(','), ' a  b '.split(), 'a,b,c'.split(',', 1)]"),
            "[['a', 'b', 'c'], ['a', 'b'], ['a', 'b,c']]");
  EXPECT_EQ(value("['ab'.startswith('a'), 'ab'.endswith('a'), 'aB'.upper(), 'aB'.lower(), 'a bc'.title()]"),
            "[True, False, 'AB', 'ab', 'A Bc']");
  EXPECT_EQ(value("'aXbX'.replace('X', '-')"), "a-b-");
}
TEST(JinjaExpressions, MethodsOfContainers) {
  EXPECT_EQ(value("{'a': 1}.items()|list ~ {'a': 1}.keys()|list ~ {'a': 1}.get('b') ~ {'a': 1}.get('b', 2)"),
            "[['a', 1]]['a']None2");
  EXPECT_EQ(render("{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}"), "[1, 2]");
}
TEST(JinjaExpressions, Filters) {
  EXPECT_EQ(value("' a '|trim ~ 'abc'|length ~ [1, 2]|count ~ 'a'|upper ~ 'B'|lower ~ 'aB c'|capitalize ~ 'a b'|title"),
            "a32AbAb cA B");
  EXPECT_EQ(value("[1, 2]|join(', ') ~ x|default('d') ~ ''|default('e', true) ~ [1, 2]|first ~ [1, 2]|last"),
            "1, 2de12");
  EXPECT_EQ(value("messages|map(attribute='role')|unique|join(' ') ~ ' ' ~ messages|selectattr('role', 'equalto', "
                  "'user')|list|length ~ "
                  "messages|rejectattr('role', 'equalto', 'user')|list|length"),
            "user assistant 21");
  EXPECT_EQ(value("('3'|int + 4.7|int) ~ 1|string ~ 'aXa'|replace('a', 'b') ~ 'x'|safe ~ 'ab'|list"),
            "71bXbx['a', 'b']");
  EXPECT_EQ(value("'a\\nb\\n\\nc'|indent(2)"), "a\n  b\n\n  c");
}
TEST(JinjaExpressions, JsonIsPythons) {
  EXPECT_EQ(value("{'a': [1, 2.5, true, none], 'é': '\"\\n<'}|tojson"), R"({"a": [1, 2.5, true, null], "é": "\"\n<"})");
  EXPECT_EQ(value("{'a': [1], 'b': {}}|tojson(indent=2)"), "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
}
TEST(JinjaExpressions, StringsHaveEscapesAndJoin) { EXPECT_EQ(value(R"('\x41\u00e9\t\'' "b" 'c\d')"), "Aé\t'bc\\d"); }
TEST(JinjaExpressions, UndefinedIsEmptyAndFalse) {
  EXPECT_EQ(render("[{{ x }}{{ messages[9] }}{{ {}.a }}{{ 'y' if x }}{{ 1 if not x }}]"), "[1]");
}
TEST(JinjaExpressions, TheClockAnswers) { EXPECT_EQ(value("strftime_now('%Y')|length"), "4"); }

// Errors name the line.

TEST(JinjaErrors, OfSyntax) {
  EXPECT_ERROR(render("a\n{% if x %}\nb"), "chat template line 3: expected {% endif %}, found the end of the template");
  EXPECT_ERROR(render("a\n{{ 1 + }}"), "chat template line 2: expected a value, found \"}}\"");
  EXPECT_ERROR(render("\n\n{% macro f() %}"), "chat template line 3: the tag \"macro\" is not supported here");
  EXPECT_ERROR(render("{% endfor %}"), "the tag \"endfor\" is not supported here");
  EXPECT_ERROR(render("{% break %}"), "the tag \"break\" is not supported here");
  EXPECT_ERROR(render("\n{{ 'abc"), "chat template line 2: the string is never closed");
  EXPECT_ERROR(render("\n{# abc"), "chat template line 2: the comment is never closed");
  EXPECT_ERROR(render("{{ 1"), "chat template line 1: expected }}, found the end of the template");
  EXPECT_ERROR(render("{{ a ? b }}"), "chat template line 1: unexpected character \"?\"");
  EXPECT_ERROR(render("{{ 99999999999999999999 }}"), "does not fit 64 bits");
}
TEST(JinjaErrors, OfEvaluation) {
  EXPECT_ERROR(render("\n{{ x.y }}"), "chat template line 2: \"x\" is undefined and has no \"y\"");
  EXPECT_ERROR(render("\n{{ 'a' + x }}"), "chat template line 2: \"x\" is undefined");
  EXPECT_ERROR(render("{{ 'a' + 1 }}"), "cannot compute a string + an integer");
  EXPECT_ERROR(render("{{ f(1) }}"), "\"f\" is undefined");
  EXPECT_ERROR(render("{{ 1|nope }}"), "the filter \"nope\" is not supported");
  EXPECT_ERROR(render("{{ 1 is nope }}"), "the test \"nope\" is not supported");
  EXPECT_ERROR(render("{{ ''.nope() }}"), "a string has no method \"nope\"");
  EXPECT_ERROR(render("{{ 1 // 0 }}"), "division by zero");
  EXPECT_ERROR(render("{{ 9223372036854775807 + 1 }}"), "an integer does not fit 64 bits");
  EXPECT_ERROR(render("{% set m = {} %}{% set m.x = 1 %}"), "\"m\" is not a namespace");
  EXPECT_ERROR(render("{{ raise_exception('two\nlines') }}"), "chat template line 1: two lines");
}

// Templates come with models from strangers.

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(JinjaHostile, NestingDoesNotOverflowTheStack) {
  constexpr int deep = 20'000;
  EXPECT_ERROR(render("{{ " + repeated("(", deep) + repeated(")", deep) + "}}"), "nested deeper than");
  EXPECT_ERROR(render("{{ " + repeated("[", deep) + repeated("]", deep) + "}}"), "nested deeper than");
  EXPECT_ERROR(render("{{ " + repeated("not ", deep) + "1 }}"), "nested deeper than");
  EXPECT_ERROR(render("{{ " + repeated("-", deep) + "1 }}"), "nested deeper than");
  EXPECT_ERROR(render("{{ 1" + repeated("+1", deep) + " }}"), "nested deeper than");
  EXPECT_ERROR(render("{{ a" + repeated(".a", deep) + " }}"), "nested deeper than");
  EXPECT_ERROR(render("{{ a" + repeated("|trim", deep) + " }}"), "nested deeper than");
  EXPECT_ERROR(render("{{ a" + repeated(" if a else a", deep) + " }}"), "nested deeper than");
  EXPECT_ERROR(render(repeated("{% if 1 %}", deep)), "nested deeper than");
  EXPECT_ERROR(render("{{ 'a'|map(" + repeated("'map',", deep) + "'upper') }}"), "more than 64 arguments");
}
TEST(JinjaHostile, DeepButReasonableNestingWorks) {
  EXPECT_EQ(render("{{ " + repeated("(", 90) + "1" + repeated(")", 90) + repeated(" + 1", 90) + " }}"), "91");
}
TEST(JinjaHostile, EndlessTemplatesAreStopped) {
  EXPECT_ERROR(render("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"),
               "does not come to an end");
  EXPECT_ERROR(render("{{ range(9223372036854775807) }}"), "does not come to an end");
  EXPECT_ERROR(render("{{ 'a' * 9223372036854775807 }}"), "does not come to an end");
  EXPECT_ERROR(
      render("{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}"),
      "does not come to an end");
}
TEST(JinjaHostile, ValuesThatHoldThemselves) {
  EXPECT_ERROR(render("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}"), "a value is nested deeper than 100");
  EXPECT_ERROR(render("{% set l = [] %}{% set _ = l.append(l) %}{% set m = [] %}{% set _ = m.append(m) %}{{ l == m }}"),
               "a value is nested deeper than 100");
  EXPECT_ERROR(
      render("{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}"),
      "prints to more than");
}

}  // namespace
}  // namespace glassbox::model

"""What each mistake in a declaration is answered with: the place, the message, what is allowed, the nearest name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.spec.conftest import Check

GOOD_NODES = "nodes:\n  gen: {component: CsvExampleGen, input_base: x}\n"


def marked(text: str) -> tuple[str, tuple[int, int]]:
    """Returns the declaration without its ‸ mark, and the place the mark stood at (lines count the two added)."""
    before, _, after = text.partition("‸")
    line = before.count("\n") + 3
    return before + after, (line, len(before) - (before.rfind("\n") + 1) + 1)


# A declaration with ‸ where the problem is, its message, and the name that is suggested.
MISTAKES = {
    "unknown top key": (
        GOOD_NODES + "‸parametres: {}\n",
        "A declaration has no key 'parametres'.",
        "parameters",
    ),
    "unknown component": (
        "nodes:\n  gen: {component: ‸CsvExamplGen, input_base: x}\n",
        "There is no standard component 'CsvExamplGen'; an own one is written package.module:Name.",
        "CsvExampleGen",
    ),
    "no component": (
        "nodes:\n  ‸gen: {input_base: x}\n",
        "The node 'gen' needs the key 'component'.",
        None,
    ),
    "node is no mapping": ("nodes:\n  ‸gen: CsvExampleGen\n", "The node 'gen' wants a mapping.", None),
    "bad node id": (
        GOOD_NODES + "  ‸a.b: {component: CsvExampleGen, input_base: x}\n",
        "A node's id begins with a letter and has at most 63 letters, digits, '_' and '-'.",
        None,
    ),
    "node named like the pipeline": (
        "nodes:\n  ‸test: {component: CsvExampleGen, input_base: x}\n",
        "A node cannot be named like its pipeline, 'test'.",
        None,
    ),
    "unknown argument": (
        GOOD_NODES + "  st: {component: StatisticsGen, ‸exampels: '${nodes.gen.examples}'}\n",
        "StatisticsGen has no input or parameter 'exampels'.",
        "examples",
    ),
    "missing input": (
        GOOD_NODES + "  ‸st: {component: StatisticsGen}\n",
        "StatisticsGen needs the input 'examples'.",
        None,
    ),
    "missing parameter": (
        "nodes:\n  ‸gen: {component: CsvExampleGen}\n",
        "CsvExampleGen needs the parameter 'input_base'.",
        None,
    ),
    "unknown node": (
        GOOD_NODES + "  st: {component: StatisticsGen, examples: ‸'${nodes.gan.examples}'}\n",
        "There is no node 'gan'.",
        "gen",
    ),
    "unknown output": (
        GOOD_NODES + "  st: {component: StatisticsGen, examples: ‸'${nodes.gen.example}'}\n",
        "The node 'gen' (CsvExampleGen) has no output 'example'.",
        "examples",
    ),
    "wrong type of output": (
        GOOD_NODES + "  sc: {component: SchemaGen, statistics: ‸'${nodes.gen.examples}'}\n",
        "'statistics' of the node 'sc' wants ExampleStatistics, but 'examples' of the node 'gen' is Examples.",
        None,
    ),
    "plain value for an input": (
        GOOD_NODES + "  st: {component: StatisticsGen, examples: ‸gen}\n",
        "'examples' is an input of StatisticsGen and takes an output of a node.",
        None,
    ),
    "output for a parameter": (
        GOOD_NODES + "  g2: {component: CsvExampleGen, input_base: ‸'${nodes.gen.examples}'}\n",
        "'input_base' is a parameter, not an input; it cannot take an output of a node.",
        None,
    ),
    "output inside a message": (
        "nodes:\n"
        "  gen: {component: CsvExampleGen, input_base: x,\n"
        "    input_config: {splits: [{name: a, pattern: ‸'${nodes.gen.examples}'}]}}\n",
        "pattern is part of a parameter and cannot take an output of a node.",
        None,
    ),
    "several outputs for one": (
        GOOD_NODES
        + "  st: {component: StatisticsGen, examples: ‸['${nodes.gen.examples}', '${nodes.gen.examples}']}\n",
        "'examples' of StatisticsGen takes one output, not several.",
        None,
    ),
    "output that is switched off": (
        GOOD_NODES
        + "  sc: {component: ImportSchemaGen, schema_file: s}\n"
        + "  tf: {component: Transform, examples: '${nodes.gen.examples}', schema: '${nodes.sc.schema}',\n"
        + "    preprocessing_fn: code.preprocessing_fn, materialize: false}\n"
        + "  st: {component: StatisticsGen, examples: ‸'${nodes.tf.transformed_examples}'}\n",
        "The node 'tf' makes no 'transformed_examples', as its 'materialize' is not set.",
        None,
    ),
    "unknown parameter": (
        "parameters: {data: {type: str, default: x}}\nnodes:\n"
        "  gen: {component: CsvExampleGen, input_base: 'a/‸${parameters.dat}'}\n",
        "There is no parameter 'dat'.",
        "data",
    ),
    "malformed reference": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: 'a/‸${data}'}\n",
        "'${data}' is not a reference.",
        None,
    ),
    "unset variable": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: '‸${env.NOT_SET}/x'}\n",
        "The environment variable NOT_SET is not set; set it before calling penstock.",
        None,
    ),
    "list inside a text": (
        "parameters: {l: {type: list, default: [a]}}\nnodes:\n"
        "  gen: {component: CsvExampleGen, input_base: 'a/‸${parameters.l}'}\n",
        "${parameters.l} is a list and cannot be part of a text; let it stand alone.",
        None,
    ),
    "parameter in a default": (
        "parameters: {a: {type: str, default: x}, b: {type: str, default: '‸${parameters.a}'}}\n" + GOOD_NODES,
        "A parameter cannot refer to another one.",
        None,
    ),
    "default of the wrong type": (
        "parameters: {n: {type: int, default: ‸many}}\n" + GOOD_NODES,
        "The parameter 'n' wants a whole number.",
        None,
    ),
    "default out of range": (
        "parameters: {n: {type: int, min: 1, default: ‸0}}\n" + GOOD_NODES,
        "The parameter 'n' wants at least 1.",
        None,
    ),
    "default not among choices": (
        "parameters: {n: {type: str, choices: [small, large], default: ‸smal}}\n" + GOOD_NODES,
        "The parameter 'n' has choices.",
        "small",
    ),
    "unknown type of parameter": (
        "parameters: {n: {type: ‸integer, default: 0}}\n" + GOOD_NODES,
        "type has choices.",
        "int",
    ),
    "parameter without type": (
        "parameters: {‸n: {default: 0}}\n" + GOOD_NODES,
        "A parameter needs the key 'type'.",
        None,
    ),
    "required parameter": (
        "parameters: {‸n: {type: int}}\n" + GOOD_NODES,
        "The parameter 'n' has no default and needs a value: -p n=VALUE.",
        None,
    ),
    "package that is not installed": (
        "parameters: {d: {type: path, default: ‸'package://no_such_package/x'}}\n" + GOOD_NODES,
        "The parameter 'd' wants a path, but no package 'no_such_package' is installed; install it, or give a folder.",
        None,
    ),
    "unknown field": (
        "nodes:\n"
        "  gen: {component: CsvExampleGen, input_base: x,\n"
        "    output_config: {split_config: {splits: [{name: a, ‸hash_bucket: 1}]}}}\n",
        "Split has no field 'hash_bucket'.",
        "hash_buckets",
    ),
    "number where text is wanted": (
        "nodes:\n"
        "  gen: {component: CsvExampleGen, input_base: x,\n"
        "    output_config: {split_config: {splits: [{name: ‸1, hash_buckets: 1}]}}}\n",
        "name wants text; put it in quotes.",
        None,
    ),
    "negative where unsigned is wanted": (
        "nodes:\n"
        "  gen: {component: CsvExampleGen, input_base: x,\n"
        "    output_config: {split_config: {splits: [{name: a, hash_buckets: ‸-1}]}}}\n",
        "hash_buckets wants a whole number from 0 to 4294967295.",
        None,
    ),
    "both sides of a oneof": (
        "nodes:\n"
        "  gen: {component: CsvExampleGen, input_base: x, input_config: {splits: [{name: all, pattern: '{SPAN}/*'}]},\n"
        "    range_config: {static_range: {start_span_number: 1, end_span_number: 1},\n"
        "      ‸rolling_range: {num_spans: 1}}}\n",
        "RangeConfig takes either 'static_range' or 'rolling_range', not both.",
        None,
    ),
    "unknown name in an enum": (
        "nodes:\n  gen: {component: ImportExampleGen, input_base: x, payload_format: ‸FORMAT_TF_EXAMPEL}\n",
        "payload_format wants one of a PayloadFormat's names.",
        "FORMAT_TF_EXAMPLE",
    ),
    "list where a message is wanted": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x, output_config: ‸[1]}\n",
        "output_config wants a mapping (Output).",
        None,
    ),
    "broken JSON in a metric's config": (
        GOOD_NODES
        + "  ev: {component: Evaluator, examples: '${nodes.gen.examples}',\n"
        + "    eval_config: {metrics_specs: [{metrics: [{class_name: AUC, config: ‸'{curve: PR'}]}]}}\n",
        "config wants a mapping, or the same as JSON text.",
        None,
    ),
    "neither of two": (
        GOOD_NODES + "  ‸tr: {component: Trainer, examples: '${nodes.gen.examples}'}\n",
        "Trainer needs 'module_file' or 'run_fn'.",
        None,
    ),
    "both of two": (
        GOOD_NODES
        + "  tr: {component: Trainer, examples: '${nodes.gen.examples}', module_file: code.py,\n"
        + "    ‸run_fn: code.run_fn}\n",
        "Trainer takes either 'module_file' or 'run_fn', not both.",
        None,
    ),
    "module that is not there": (
        GOOD_NODES + "  tr: {component: Trainer, examples: '${nodes.gen.examples}', run_fn: ‸cod.run_fn}\n",
        "run_fn: there is no module 'cod' in FOLDER, nor is one installed.",
        "code",
    ),
    "function that is not there": (
        GOOD_NODES + "  tr: {component: Trainer, examples: '${nodes.gen.examples}', run_fn: ‸code.run}\n",
        "run_fn: the module 'code' (FOLDER/code.py) has no 'run'.",
        "run_fn",
    ),
    "module file that is not there": (
        GOOD_NODES + "  tr: {component: Trainer, examples: '${nodes.gen.examples}', module_file: ‸nope.py}\n",
        "module_file: there is no file FOLDER/nope.py.",
        None,
    ),
    "module file with a syntax error": (
        GOOD_NODES + "  tr: {component: Trainer, examples: '${nodes.gen.examples}', module_file: ‸broken.py}\n",
        "module_file: syntax error in FOLDER/broken.py:2:7: invalid syntax.",
        None,
    ),
    "unknown strategy": (
        "nodes:\n  r: {component: Resolver, strategy_class: ‸LatestModelStrategy, model: {type: Model}}\n",
        "strategy_class wants a resolver strategy, or package.module:Class of an own one.",
        "LatestBlessedModelStrategy",
    ),
    "unknown artifact type": (
        "nodes:\n  r: {component: Resolver, strategy_class: LatestArtifactStrategy, model: {type: ‸Modle}}\n",
        "type wants an artifact type, or package.module:Class of an own one.",
        "Model",
    ),
    "resolver without a blessing": (
        "nodes:\n  ‸r: {component: Resolver, strategy_class: LatestBlessedModelStrategy, model: {type: Model}}\n",
        "LatestBlessedModelStrategy needs one channel of type ModelBlessing.",
        None,
    ),
    "cycle": (
        "nodes:\n"
        "  ‸a: {component: StatisticsGen, examples: '${nodes.c.examples}', after: [b]}\n"
        "  b: {component: StatisticsGen, examples: '${nodes.c.examples}', after: [a]}\n"
        "  c: {component: CsvExampleGen, input_base: x}\n",
        "These nodes wait for each other: a → b → a.",
        None,
    ),
    "node that waits for itself": (
        "nodes:\n  ‸gen: {component: CsvExampleGen, input_base: x, after: [gen]}\n",
        "These nodes wait for each other: gen → gen.",
        None,
    ),
    "unknown node in after": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x, after: [‸gem]}\n",
        "There is no node 'gem'.",
        "gen",
    ),
    "retries as text": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x, retries: ‸two}\n",
        "retries wants a whole number.",
        None,
    ),
    "bad duration": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x, timeout: ‸2 weeks}\n",
        "timeout wants a duration such as 90, 30s, 5m, 2h or 1d.",
        None,
    ),
    "unknown resource": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x, resources: {‸gpus: 1}}\n",
        "'resources' has no key 'gpus'.",
        "gpu",
    ),
    "unknown runner": (
        "nodes:\n  gen: {component: CsvExampleGen, input_base: x, runner: ‸fink}\n",
        "runner has choices.",
        "flink",
    ),
    "unknown backend": (
        GOOD_NODES + "environments: {e: {backend: ‸kubflow}}\n",
        "backend has choices.",
        "kubeflow",
    ),
    "unknown key of an environment": (
        GOOD_NODES + "environments: {a: {}, e: {‸pipelin_root: x}}\n",
        "An environment has no key 'pipelin_root'.",
        "pipeline_root",
    ),
    "environment's folder in no package": (
        GOOD_NODES + "environments: {local: {pipeline_root: ‸'package://yaml/nothing'}}\n",
        "pipeline_root wants a path, but the installed package 'yaml' holds nothing at 'nothing'.",
        None,
    ),
    "no nodes": ("nodes: ‸{}\n", "nodes wants at least one entry.", None),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str, check: Check, tmp_path: Path) -> None:
    text, message, suggestion = MISTAKES[name]
    (tmp_path / "broken.py").write_text("def run_fn(a):\n  x = = 1\n")
    body, place = marked(text)
    problems = check(body)
    assert [problem.message.replace(str(tmp_path), "FOLDER") for problem in problems] == [message]
    assert (problems[0].line, problems[0].column) == place
    assert problems[0].suggestion == suggestion
    assert problems[0].file == tmp_path / "pipeline.yaml"


def test_allowed_names_are_listed(check: Check) -> None:
    problem = check(GOOD_NODES + "  st: {component: StatisticsGen, examples: '${nodes.nothing.examples}'}\n")[0]
    assert (problem.found, problem.allowed, problem.suggestion) == ("nothing", ("gen", "st"), None)


def test_wrong_type_lists_the_outputs_that_fit(check: Check) -> None:
    text = GOOD_NODES + (
        "  st: {component: StatisticsGen, examples: '${nodes.gen.examples}'}\n"
        "  sc: {component: SchemaGen, statistics: '${nodes.gen.examples}'}\n"
    )
    assert check(text)[0].allowed == ("${nodes.st.statistics}",)


def test_all_mistakes_at_once_in_the_order_of_lines(check: Check) -> None:
    problems = check(
        """
        name2: x
        parameters:
          n: {type: int, default: x}
        nodes:
          a: {component: Nope}
          b: {component: StatisticsGen, examples: "${nodes.zz.examples}", retries: -1}
        environments:
          local: {jobs: 0}
        """
    )
    assert [problem.line for problem in problems] == [3, 5, 7, 8, 8, 10]


def test_one_cause_is_one_problem(check: Check) -> None:
    problems = check(
        """
        parameters: {n: {type: int, default: many}}
        nodes:
          gen: {component: CsvExamplGen, input_base: x}
          st: {component: StatisticsGen, examples: "${nodes.gen.examples}"}
          tr:
            component: Trainer
            run_fn: code.run_fn
            examples: "${nodes.gen.examples}"
            train_args: {num_steps: "${parameters.n}"}
            retries: ${parameters.n}
        """
    )
    assert [problem.line for problem in problems] == [3, 5]


def test_two_separate_cycles(check: Check) -> None:
    node = "{component: CsvExampleGen, input_base: x, after: [%s]}"
    after = {"a": "c", "b": "a", "c": "b", "d": "e", "e": "d", "f": "a"}
    text = "nodes:\n" + "".join(f"  {name}: {node % earlier}\n" for name, earlier in after.items())
    assert [problem.message for problem in check(text)] == [
        "These nodes wait for each other: a → b → c → a.",
        "These nodes wait for each other: d → e → d.",
    ]


@pytest.mark.parametrize(
    ("parameters", "message", "suggestion"),
    [
        ({"stepz": "1"}, "-p stepz=1: there is no parameter 'stepz'.", "steps"),
        ({"steps": "many"}, "-p steps=many: the parameter wants a whole number.", None),
        ({"steps": "0"}, "-p steps=0: the parameter wants at least 1.", None),
        ({"steps": ""}, "-p steps=: the parameter wants a whole number.", None),
        ({"steps": "[1"}, "-p steps=[1: the parameter wants a whole number.", None),
        ({"flag": "yes"}, "-p flag=yes: the parameter wants true or false.", None),
        ({"size": "smal"}, "-p size=smal: the parameter has choices.", "small"),
    ],
)
def test_given_values_name_the_option(
    check: Check, parameters: dict[str, str], message: str, suggestion: str | None
) -> None:
    text = (
        "parameters:\n"
        "  steps: {type: int, default: 1, min: 1}\n"
        "  flag: {type: bool, default: true}\n"
        "  size: {type: str, default: small, choices: [small, large]}\n"
    )
    problems = check(text + GOOD_NODES, parameters=parameters)
    assert [(problem.message, problem.line, problem.suggestion) for problem in problems] == [(message, 0, suggestion)]


def test_unknown_environment(check: Check) -> None:
    problem = check(GOOD_NODES + "environments: {local: {}, cluster: {}}\n", environment="clustr")[0]
    assert problem.message == "There is no environment 'clustr'."
    assert (problem.allowed, problem.suggestion) == (("local", "cluster"), "cluster")


def test_variables_of_other_environments_need_not_be_set(check: Check) -> None:
    text = GOOD_NODES + "environments: {local: {}, cluster: {metadata: '${env.NOT_SET}', jobs: '${env.NOT_SET}'}}\n"
    assert check(text) == []
    assert [problem.line for problem in check(text, environment="cluster")] == [5, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("penstock: 2\nname: a\n" + GOOD_NODES, "penstock is the version of the language; this Penstock reads version"),
        ("penstock: ${env.X}\nname: a\n" + GOOD_NODES, "penstock wants a whole number."),
        ("penstock: 1\nname: A b\n" + GOOD_NODES, "name wants at most 63 lower-case letters, digits and '-'"),
        ("penstock: 1\n" + GOOD_NODES, "A declaration needs the key 'name'."),
        ("penstock: 1\nname: a\n", "A declaration needs the key 'nodes'."),
        ("penstock", "A declaration is a mapping that begins with 'penstock: 1'."),
    ],
)
def test_head_of_the_file(check: Check, text: str, message: str) -> None:
    problems = check(text)
    assert len(problems) == 1
    assert problems[0].message.startswith(message)


def test_no_such_file(tmp_path: Path) -> None:
    from penstock import spec
    from penstock.errors import DeclarationError

    with pytest.raises(DeclarationError, match=re.escape("missing.yaml: There is no such file.")):
        spec.load(tmp_path / "missing.yaml")
    with pytest.raises(DeclarationError, match=r"The folder holds no pipeline\.yaml"):
        spec.load(tmp_path)


def test_nothing_a_terminal_would_obey_is_printed(check: Check) -> None:
    problems = check('nodes:\n  gen: {component: "\\e[31mred\\n", input_base: x}\n')
    assert str(problems[0]).count("\n") == 2
    assert "\x1b" not in str(problems[0])

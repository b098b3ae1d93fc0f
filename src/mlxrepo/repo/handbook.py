"""What docs/mlx-yaml.md says around the table of keys; its examples are parsed by a test."""

from __future__ import annotations

INTRODUCTION = """\
# mlx.yaml

<!-- Written from src/mlxrepo/repo/grammar.py and handbook.py; change it there. -->

`mlx.yaml` is what people declare: data, features, models, and the stages that turn one into the
next. It lies at the root of the repository; a folder below may have one of its own.

- All paths are relative to the folder of the `mlx.yaml` that names them, and stay inside the
  repository. `wdir` changes where a command runs, not what the paths mean.
- The file is YAML 1.2: `no` and `on` are text, `1e3` is a number, `012` is twelve. Tags are
  refused; anchors, aliases and merge keys (`<<`) work.
- It is strict: an unknown key, a wrong type or a key given twice is an error with its place.
- Names of stages and artifacts are made of `A-Z a-z 0-9 _ - .` and begin with a letter, a digit
  or `_`. The names of datasets, feature sets and models are unique together.
- `${name}` is filled in everywhere but in `vars`, in `format` and in names: see [vars](#vars) and
  [templates](#templates).
- A stage of a file in a folder is addressed with the file: `sub/mlx.yaml:train`. Each file has its
  own `mlx.lock` beside it; stages may read what those of other files write.
- `mlx schema` prints a JSON Schema for editors."""

_VARS = """\
The values of the `params.yaml` beside this file can be named without being listed here. An item of
`vars` is a map, a file (YAML, JSON, TOML or constants of Python), or some keys of a file. Maps of
one name are merged; a name with two values is an error. A stage has `vars` of its own.

```yaml
vars:
  - region: eu
    train: {depth: 8}
  - config/paths.toml
  - config/models.yaml:small,large
stages:
  train:
    vars: [{rounds: 3}]
    cmd: python train.py --region ${region} --depth ${train.depth} --rounds ${rounds}
```

Paths of these files are relative to this file, also in a stage with a `wdir`. Of a `.py` file the
constants count that are assigned at its top, in a class (`class Train: lr = 0.1` is `Train.lr`) or
to `self` in an `__init__`; nothing of it is executed. `${…}` is not filled in inside `vars`."""

_STAGES = r"""
- `cmd` is one command, or a list of commands that run one after the other until one fails. In a
  text of several lines (`|`) each line is a command; a line that ends in `\` goes on in the next,
  and empty lines and lines with only a `# comment` are left out.
- `deps` are files, folders, and patterns: `*`, `?` and `[…]` stand inside one name, `**` for any
  folders. A pattern leaves out hidden files.
- `params` names keys of the `params.yaml` beside this file (`train.lr` is `lr` inside `train`),
  keys of another file (`config/model.toml: [depth]`), or a whole file (`config/all.json:`). `*` in
  a key stands for any name (`train.*`).
- `outs`, `metrics` and `plots` are all written by the stage. Outs are kept in the store and ignored
  by git; metrics and plots are files in git, and their bytes are stored too. `cache` changes that.
- A path is written by one stage, once, and no stage reads what it writes itself.

### Options of outs, metrics and plots

| Key | Value | Meaning |
|---|---|---|
| `cache` | true or false | true: in the store and ignored by git; false: in git as well |
| `persist` | true or false | what is there stays in place while the command runs |
| `push` | true or false | false: stays on this machine |
| `remote` | a name | the remote that it goes to |
| `desc`, `type`, `labels`, `meta` | text, text, a list, anything | for people |
| `x`, `y`, `x_label`, `y_label`, `title`, `template`, `header` | as in DVC | the [look](plots.md) |

```yaml
stages:
  train:
    cmd: python train.py
    outs:
      - models/last.pt: {persist: true, desc: goes on where it stopped}
      - scratch.npy: {push: false, type: array, labels: [debug], meta: {owner: ana}}
    metrics:
      - scores.json
    plots:
      - loss.csv: {x: step, y: loss, title: Loss, template: smooth}
```

### Running

```yaml
shell: bash
stages:
  train:
    cmd: python train.py
    env: [CUDA_VERSION]
    timeout: 2h
    retries: 2
    resources: {mem: 8GB, gpu: 1, licences: 1, mutex: [database]}
    shell: /bin/sh
  report:
    cmd: python report.py
    always_changed: true
    meta: {owner: ana}
  old:
    cmd: ./what-nobody-runs-any-more
    frozen: true
```

- `env` names environment variables that the command reads; another value is another input. The
  values themselves are written nowhere.
- `timeout` counts for each try. `8GB` is 8,000,000,000 bytes, `8GiB` is 8 · 1024³.
- `resources` are counted over all stages that run at the same time: `mem` in bytes, `gpu` in whole
  devices, any other name as a number. Of the stages with one `mutex`, one runs at a time.
- `frozen` keeps a stage as it is; `always_changed` runs it each time.

### foreach and matrix

`foreach` makes a stage of each item of a list or a map, `matrix` of each combination of its axes.

```yaml
stages:
  clean:
    foreach: [us, eu]                     # clean@us, clean@eu; ${item} is us, eu
    do:
      cmd: python clean.py ${item}
      outs: ["clean/${item}.csv"]
  fit:
    foreach:                              # fit@small, fit@large; ${key} is small, large
      small: {depth: 4}
      large: {depth: 12}
    do:
      cmd: python fit.py --depth ${item.depth}
      outs: ["fit/${key}.pkl"]
  train:
    matrix:                               # train@cnn-1, train@cnn-2, train@mlp-1, train@mlp-2
      model: [cnn, mlp]
      seed: [1, 2]
    cmd: python train.py --model ${item.model} --seed ${item.seed}
    deps: ["clean/us.csv", "clean/eu.csv"]
    outs: ["models/${key}.pkl"]
```

- The name of the group means all its stages (`mlx repro clean`), `clean@us` one of them, and
  `'train@cnn-*'` those that fit.
- Lists with a map or a list in them are numbered: `clean@0`; in a matrix `train@model0-1`.
- What no name can hold becomes `_`: the item `a/b c` is `clean@a_b_c`, and may be typed either way.
  Items that would have one name are refused; a map gives names of its own.
- An item is not an input by itself: what the command does with it is, for it stands in `cmd`."""

_TEMPLATES = r"""## templates

`${a.b[0]}` names a value of [vars](#vars), of `params.yaml`, or of the item. Values are looked up
and put in; nothing is evaluated, and what was put in is not looked at again.

```yaml
vars:
  - files: [a.csv, b.csv]
    options: {lr: 0.1, verbose: true, tags: [x, y], model: {depth: 8}}
    limit: 600
    title: It's late
stages:
  train:
    cmd: python train.py ${options} --title ${title|q} ${files} --home \${HOME}
    deps: [train.py, "${files}"]
    timeout: ${limit}
```

- A value that is only `${x}` keeps its type: `timeout` is a number here. In a list it may be a
  list, whose items are put in: the stage has three deps. Where text is wanted a number is text.
- Inside a text booleans are `true` and `false`, everything else is as Python prints it.
- In `cmd` a map becomes arguments, here `--lr 0.1 --verbose --tags x y --model.depth 8`, and a list
  becomes its words. Both are quoted for the shell; other values are put in as they are, unless
  `|q` quotes them.
- `\${` is `${` itself, such as for a variable of the shell.
- Keys are filled in too: `outs: [{"${path}": {cache: false}}]`."""

NOTES = {
    "vars": f"{_VARS}\n\n{_TEMPLATES}",
    "stages": _STAGES.lstrip("\n"),
    "models": """\
All keys but `path` and `desc` are read by model commands; until then they are kept as they are.""",
    "remotes": """\
URLs are those of fsspec: `s3://`, `gs://`, `az://`, `sftp://` and others; what is beside `s3`
needs its package (for `sftp`: `pip install 'mlxrepo[sftp]'`). `sftp://user@host/path` is whatever
`ssh` makes of that host: keys in `~/.ssh`, the agent, `~/.ssh/config`; a host that is not in
`~/.ssh/known_hosts` is refused, passwords are never asked for, and `/~/path` lies in the home
there. `https://` can be read, where the server lists its folders. A local path, or a host of this
machine or link, is no use to anybody else and is refused here: `mlx remote add` puts it into git's
settings, `git config mlx.remote.NAME.url`, which also override what stands here, key by key.
Secrets are refused in both: they belong into the environment (`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`),
or where your cloud keeps them. Remotes stand in the `mlx.yaml` at the root; today's count, also
for an old commit.

```yaml
remotes:
  origin:
    url: s3://bucket/project
    profile: research
    default: true
  public:
    url: s3://open-data/reviews
    anonymous: true
```""",
    "params": """\
Params files that stages name need not be listed here.""",
    "goals": """\
A metric is named as in [expressions](expressions.md): `auc` is that of every metrics file in the
folder of this mlx.yaml and below it, `metrics.json:auc` that of one file, which goes first.
`mlx metrics diff` then says of each change whether it is better, worse, or within the `tolerance`
(none when it is not given). Goals judge nothing by themselves: that does [a gate](gates.md).

```yaml
goals:
  auc: {better: higher, tolerance: 0.002}
  reports/latency.json:p99: {better: lower, tolerance: 5}
```""",
    "plots": """\
A name stands for a file, or for a plot of the files that `x` and `y` name.

```yaml
plots:
  - reports/costs.png
  - loss.csv: {x: step, y: [train, test]}
  - precision-recall:
      x: recall
      y: {old.csv: precision, new.csv: precision}
      title: Precision and recall
  - weights.csv: {x: weight, y: feature, template: bar_horizontal_sorted}
  - confusion.csv: {x: actual, y: predicted, template: confusion}
```

What an entry says of a file that a stage writes goes before what the stage says. `mlx plots show`
and `diff` draw them: [plots](plots.md) has all templates.""",
    "shell": """\
A stage may name another one. Without either, commands run in the shell of `$SHELL`.""",
    "environment": """\
`files` are lock files of packages, `interpreter: python` is the implementation and the version
(major.minor) of the `python` that commands find, `variables` are names of environment variables.
When one of them changes, every stage of this file is run again.""",
}

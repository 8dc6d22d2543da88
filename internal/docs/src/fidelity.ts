import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { markdownTable, type Page } from './page.ts';

/** What judges which part, with how many cases, and what nothing judges: counted in vectors and fixtures, read in the packages' READMEs. */
export const fidelityPage: Page = {
  file: 'docs/fidelity.md',
  parts: { vectors, guests, parts, unjudged, benchmarks },
};

/** The content of a file, unpacked. */
function textOf(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** Paths of the files of `folder`, or of all below it, whose names match. */
function filesOf(folder: string, name: RegExp, recursive = false): string[] {
  return readdirSync(folder, { recursive, encoding: 'utf8' })
    .filter((file) => name.test(file))
    .sort()
    .map((file) => join(folder, file));
}

function sum(paths: readonly string[], count: (text: string) => number): number {
  return paths.reduce((total, path) => total + count(textOf(path)), 0);
}

/** Lines that are not empty, without `headers` of them. */
const lines =
  (headers: number) =>
  (text: string): number =>
    text.split('\n').filter((line) => line !== '').length - headers;

const packages = (...names: string[]): string =>
  names.map((name) => `[${name}](../packages/${name})`).join(', ');
const figure = (cases: number): string => cases.toLocaleString('en');

function table(
  rows: readonly (readonly [part: string, where: string, judge: string, cases: number])[],
): string {
  return markdownTable(
    ['part', 'packages', 'judge', 'cases'],
    rows.map(([part, where, judge, cases]) => [part, where, judge, figure(cases)]),
  );
}

/** Sequences of instructions whose judges are as `judges` says, `qemu`, `bochs`, both or `manual`. */
function sequences(judges: RegExp): number {
  return sum(
    filesOf('vectors/instruction-sequences', /\.txt$/),
    (text) => text.split('\n').filter((line) => judges.test(/ \| (.*)$/.exec(line)?.[1] ?? '')).length,
  );
}

function vectors(): string {
  const calls = (text: string): number => {
    const recorded: unknown[][] = JSON.parse(text);
    return recorded.reduce((total, sequence) => total + sequence.length, 0);
  };
  const cases = (folder: string): number => sum(filesOf(`vectors/${folder}`, /\.cases\./), lines(0));
  return table([
    [
      'which accesses the guest page tables allow, error codes, accessed and dirty bits',
      packages('x86'),
      "the access test of KVM's unit tests",
      sum(filesOf('vectors/paging', /\.txt\.gz$/), lines(1)),
    ],
    [
      'guest page tables and EPT together, with and without MBEC: outcomes, exit qualifications, every byte written',
      packages('x86', 'ept'),
      'the page walk of a full emulator, and an independent model',
      cases('two-stage'),
    ],
    [
      'guest page tables and nested paging of AMD together',
      packages('x86', 'npt'),
      'the page walk of an emulator',
      cases('npt'),
    ],
    [
      'rights of EPT entries, on each level and with leaves of each size',
      packages('ept'),
      "the EPT tests of KVM's unit tests",
      sum(['vectors/ept-rights.tsv'], lines(1)),
    ],
    [
      'instructions, what they end with and leave behind',
      packages('vcpu', 'x86'),
      'QEMU 7.2 and Bochs 2.7, which agree',
      sequences(/^qemu,? ?bochs$|^both$/),
    ],
    [
      'the same',
      packages('vcpu', 'x86'),
      'one of the two: the other lacks it, or is wrong',
      sequences(/^(qemu|bochs)$/),
    ],
    ['the same', packages('vcpu', 'x86'), 'the manuals alone', sequences(/^manual$/)],
    [
      'counters of permissions, and the page lists that follow, call by call, as published',
      packages('guest', 'hypercall'),
      'the published core of the guest, run as it is',
      sum(filesOf('vectors/counters', /\.json\.gz$/), calls),
    ],
    [
      'all that Heki sends for a real kernel, byte for byte, as published',
      packages('guest', 'vmcore'),
      'the same, on the page tables of real kernels',
      filesOf('vectors/page-lists', /\.json$/).length,
    ],
  ]);
}

interface Judged {
  readonly judged?: { readonly leaves?: number };
}

function guests(): string {
  const foreign = filesOf('fixtures/foreign', /^[^.]+\.json$/).map(
    (path): Judged => JSON.parse(textOf(path)),
  );
  const leaves = foreign.flatMap(({ judged }) => judged?.leaves ?? []);
  return table([
    [
      'every mapping of a kernel, as text',
      packages('vmcore', 'x86'),
      "QEMU's `info tlb` of the running guest, line by line",
      sum(filesOf('fixtures', /\.info-tlb\.txt\.gz$/), lines(0)),
    ],
    [
      'mappings of kernels that nobody picked to suit the model, and pages by their rights',
      packages('vmcore', 'x86'),
      `QEMU's \`info tlb\` of ${leaves.length} running guests, counted`,
      leaves.reduce((total, count) => total + count, 0),
    ],
    [
      "symbols out of a kernel's own memory",
      packages('symbols'),
      "the guests' own `/proc/kallsyms`, of Linux 5.10, 6.1 and 6.12",
      sum(filesOf('fixtures/symbols', /\.kallsyms\.gz$/), lines(0)),
    ],
    [
      'inputs that lie, are cut or have no end: answered or refused with a message',
      '[heki](../packages/heki)',
      'this project: none crashes, hangs or takes what is not its due',
      filesOf('fixtures/hostile', /^(?!README)/).length,
    ],
  ]);
}

interface Fidelity {
  readonly name: string;
  readonly text: string;
}

/** The section *Fidelity* of every package that has one. */
function sections(): Fidelity[] {
  return readdirSync('packages')
    .sort()
    .flatMap((name) => {
      const readme = textOf(`packages/${name}/README.md`);
      const text = /^## Fidelity\n([\s\S]*?)(?=^## |$(?![\s\S]))/m.exec(readme)?.[1];
      return text === undefined ? [] : [{ name, text }];
    });
}

const fidelityOf = (name: string): string => `[${name}](../packages/${name}/README.md#fidelity)`;

/** The tables of parts and judges that packages have. */
function parts(): string {
  const rows = sections().flatMap(({ name, text }) => {
    const [, body = ''] = /^\| part \| judged by \|\n\|[-| ]+\|\n((?:\|.*\n)*)/m.exec(text) ?? [];
    return [...body.matchAll(/^\| (.*) \| (.*) \|$/gm)].map(([, part = '', judge = '']) => [
      fidelityOf(name),
      part,
      judge,
    ]);
  });
  return markdownTable(['package', 'part', 'judged by'], rows);
}

/** What packages call unjudged: the sentences that say so, and where such a sentence is about the one before it, that one. */
function unjudged(): string {
  const rows = sections().flatMap(({ name, text }) => {
    const said = text
      .replaceAll(/^\|.*$/gm, '')
      .split(/\n\s*\n|^\s*- /m)
      .map((paragraph) =>
        paragraph
          .replaceAll(/\s+/g, ' ')
          .trim()
          .split(/(?<=[.)]) (?=[A-Z*`])/),
      )
      .flatMap((sentences) =>
        sentences
          .filter(
            (sentence, index) =>
              /\*unjudged\*/i.test(sentence) || /^\*Unjudged\*/.test(sentences[index + 1] ?? ''),
          )
          .join(' '),
      )
      .filter((sentence) => sentence !== '');
    return said.length === 0 ? [] : [[fidelityOf(name), said.join('<br>')]];
  });
  return markdownTable(['package', 'says'], rows);
}

/** Every benchmark: what it times beside what, and what runs it. */
function benchmarks(): string {
  const rows = readdirSync('packages')
    .sort()
    .flatMap((name) =>
      filesOf(`packages/${name}/src`, /\.bench\.ts$/, true).map((file) => {
        const titles = [...textOf(file).matchAll(/\btitle: (['"`])(.*?)\1,$/gm)].map(([, , title = '']) =>
          title.replaceAll(/\$\{[^}]*\}/g, '…'),
        );
        const path = file.slice('packages/'.length, -'.bench.ts'.length);
        const what = titles.length > 0 ? titles.join('; ') : basename(path).replaceAll('-', ' ');
        return [packages(name), what, `\`pnpm bench ${path}\``];
      }),
    );
  return markdownTable(['package', 'times', 'by'], rows);
}

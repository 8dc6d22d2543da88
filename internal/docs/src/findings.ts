import { FINDING_KINDS, type FindingKind } from '@heki/audit';
import { inspectorState } from './finding-states.ts';
import { fixtureOf, triggerOf } from './finding-triggers.ts';
import { markdownTable, type Page, textBlock } from './page.ts';
import { printedWithFindings } from './printed.ts';

/** Of the page of a kind, beside the index: `wx-alias`. */
const nameOf = ({ id }: FindingKind): string => id.slice('heki/'.length);

/** What the audit finds: how to look, and an index. */
export const findingsPage: Page = {
  file: 'docs/findings.md',
  parts: {
    report: async () => {
      const args = ['audit', 'fixtures/k61-256-tampered-text-alias.elf.gz', '--no-heki'];
      return textBlock((await printedWithFindings(args)).trimEnd().split('\n'));
    },
    list: () =>
      markdownTable(
        ['finding', 'at worst', 'what it is'],
        FINDING_KINDS.map((kind) => [
          `[\`${kind.id}\`](findings/${nameOf(kind)}.md)`,
          kind.worst,
          kind.title,
        ]),
      ),
    findings: () =>
      FINDING_KINDS.map((kind) =>
        [
          `## ${kind.title}`,
          '',
          `[\`${kind.id}\`](findings/${nameOf(kind)}.md), at worst ${kind.worst}. ${kind.explanation}`,
        ].join('\n'),
      ).join('\n\n'),
  },
};

/** What the audit finds by the kernel's image, or by its lists of code. */
const BY_CONTENTS: ReadonlySet<FindingKind['id']> = new Set([
  'heki/code-differs',
  'heki/constants-differ',
  'heki/kprobe',
  'heki/function-traced',
  'heki/static-call-updated',
  'heki/unlisted-code',
]);

/** Where the inspector has it: on the site a link that opens it. */
function inInspector(id: FindingKind['id'], fixture: string | undefined): string {
  const state = inspectorState(id);
  if (state !== undefined) {
    const entries = state.edited === 1 ? 'one entry' : `${state.edited} entries`;
    const kernel = `the kernel that comes with heki${state.edited === 0 ? '' : `, with ${entries} of its page tables edited`}`;
    return `In the inspector: [${kernel}](../inspector.md${state.route}). Each address leads to its walk.`;
  }
  if (BY_CONTENTS.has(id)) {
    return 'Not in the inspector, which compares no contents: `heki audit DUMP --vmlinux FILE --html audit.html` has it on its page.';
  }
  const source = fixture ?? 'DUMP';
  return `In the inspector: \`heki inspect ${source}\`, at \`#memory?finding=${id}\`.`;
}

/** A page for each kind of finding. */
export const findingPages: readonly Page[] = FINDING_KINDS.map((kind) => ({
  file: `docs/findings/${nameOf(kind)}.md`,
  parts: {
    finding: async () =>
      [
        `# ${kind.title}`,
        '',
        `\`${kind.id}\`, at worst ${kind.worst}. ${kind.explanation}`,
        '',
        '## How an attacker uses it',
        '',
        kind.attack,
        '',
        '## How a sound kernel comes to it',
        '',
        kind.legitimate,
        '',
        '## What to do',
        '',
        kind.advice,
        '',
        '## See it',
        '',
        await triggerOf(kind.id),
        '',
        inInspector(kind.id, await fixtureOf(kind.id)),
        '',
        'All others: [what the audit finds](../findings.md).',
      ].join('\n'),
  },
}));

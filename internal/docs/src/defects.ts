import { guestDefects } from '@heki/guest';
import { kvmDefects } from '@heki/kvm';
import { linuxDefects } from '@heki/linux';
import { memoryTableDefects } from '@heki/memory-table';
import { paravirtDefects } from '@heki/paravirt';
import { markdownTable, type Page } from './page.ts';

export const defectsPage: Page = {
  file: 'docs/defects.md',
  parts: { summary, defects: everyDefect, missing },
};

/** Why no model can show a defect. */
const NOT_SHOWN: Readonly<Record<string, string>> = {
  'B-G23':
    'a header of the series tests an include guard that it never defines. That is about text, not about behaviour',
};

/** A switch as every package declares it. */
interface Defect {
  readonly title: string;
  readonly happens: string;
  readonly why: string;
  readonly mend: string;
  readonly notShown?: string;
}

/** Packages that have switches, and their tables. */
const TABLES: readonly [owner: string, source: string, defects: Readonly<Record<string, Defect>>][] = [
  ['kvm', 'packages/kvm/src/defects.ts', kvmDefects],
  ['guest', 'packages/guest/src/defects.ts', guestDefects],
  ['linux', 'packages/linux/src/defects.ts', linuxDefects],
  ['paravirt', 'packages/paravirt/src/defects.ts', paravirtDefects],
  ['memory-table', 'packages/memory-table/src/defects.ts', memoryTableDefects],
];

/** Where the defects of the series were numbered: the host's, and the guest's. */
const PUBLISHED: readonly [prefix: string, count: number][] = [
  ['B-H', 20],
  ['B-G', 23],
];

/** One switch of one package. */
interface Switch {
  readonly id: string;
  readonly owner: string;
  readonly source: string;
  readonly defect: Defect;
}

/** The host's first, then the guest's, each by number; those without a number last. */
function allSwitches(): Switch[] {
  const key = (id: string): number => {
    const [, side, digits] = /^B-([HG])(\d+)$/.exec(id) ?? [];
    return digits === undefined ? 1000 : (side === 'G' ? 100 : 0) + Number(digits);
  };
  return TABLES.flatMap(([owner, source, defects]) =>
    Object.entries(defects).map(([id, defect]) => ({ id, owner, source, defect })),
  ).sort((a, b) => key(a.id) - key(b.id));
}

const link = (id: string): string => `[${id}](#${id.toLowerCase()})`;

function summary(): string {
  return markdownTable(
    ['id', 'package', 'defect'],
    byId().map(([id, switches]) => [
      link(id),
      switches.map(({ owner, source }) => `[${owner}](../${source})`).join(', '),
      switches[0]?.defect.title ?? '',
    ]),
  );
}

/** Switches of the same id, which two packages may share, together. */
function byId(): [id: string, switches: Switch[]][] {
  const groups = new Map<string, Switch[]>();
  for (const entry of allSwitches()) groups.set(entry.id, [...(groups.get(entry.id) ?? []), entry]);
  return [...groups];
}

function everyDefect(): string {
  return byId()
    .map(([id, switches]) => {
      const texts = switches.map(({ owner, defect }) => {
        const whose = switches.length === 1 ? '' : `*In ${owner}.* `;
        const lines = [
          `**${defect.title}.** ${whose}${defect.happens}`,
          '',
          `- Why: ${defect.why}`,
          `- Mended: ${defect.mend}`,
        ];
        if (defect.notShown !== undefined) lines.push(`- Not shown by a model: ${defect.notShown}`);
        return lines.join('\n');
      });
      return `### ${id}\n\n${texts.join('\n\n')}`;
    })
    .join('\n\n');
}

function missing(): string {
  const known = new Set(allSwitches().map(({ id }) => id));
  const without = PUBLISHED.flatMap(([prefix, count]) =>
    Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`),
  ).filter((id) => !known.has(id));
  if (without.length === 0) return 'Every defect of the list has its switch.';
  return without.map((id) => `- ${id} has no switch: ${NOT_SHOWN[id] ?? 'it is not modelled'}.`).join('\n');
}

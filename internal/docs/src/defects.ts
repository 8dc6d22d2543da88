import { guestDefects } from '@heki/guest';
import { lvbsDefects } from '@heki/hyperv';
import { kvmDefects } from '@heki/kvm';
import { linuxDefects } from '@heki/linux';
import { memoryTableDefects } from '@heki/memory-table';
import { paravirtDefects } from '@heki/paravirt';
import type { Defects, DefectText } from '@heki/series';
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

/** Packages that have defects of their own, and their lists. */
const LISTS: readonly (readonly [owner: string, defects: Defects])[] = [
  ['kvm', kvmDefects],
  ['guest', guestDefects],
  ['linux', linuxDefects],
  ['paravirt', paravirtDefects],
  ['memory-table', memoryTableDefects],
  ['hyperv', lvbsDefects],
];

/** Where the defects of the series were numbered: the host's, and the guest's. */
const PUBLISHED: readonly [prefix: string, count: number][] = [
  ['B-H', 20],
  ['B-G', 23],
];

/** One defect, its file, and what it is in each package that reads its switch. */
interface Entry {
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly parts: readonly (readonly [owner: string, text: DefectText])[];
}

/** The host's first, then the guest's, then those of LVBS, each by number; those without a number last. */
function allDefects(): Entry[] {
  const key = (id: string): number => {
    const [, side, digits] = /^B-([HGL])(\d+)$/.exec(id) ?? [];
    return digits === undefined ? 1000 : 'HGL'.indexOf(side ?? 'H') * 100 + Number(digits);
  };
  const entries = new Map<string, Entry>();
  for (const [owner, defects] of LISTS) {
    for (const [id, defect] of Object.entries(defects)) {
      const file = `${id.toLowerCase()}.ts`;
      const [source, parts] =
        'parts' in defect
          ? [`packages/series/src/shared/${file}`, Object.entries(defect.parts)]
          : [`packages/${owner}/src/defects/${file}`, [[owner, defect] as const]];
      entries.set(id, { id, title: defect.title, source, parts });
    }
  }
  return [...entries.values()].sort((a, b) => key(a.id) - key(b.id));
}

const link = (id: string): string => `[${id}](#${id.toLowerCase()})`;

function summary(): string {
  return markdownTable(
    ['id', 'package', 'defect'],
    allDefects().map(({ id, title, source, parts }) => [
      link(id),
      parts.map(([owner]) => `[${owner}](../${source})`).join(', '),
      title,
    ]),
  );
}

function everyDefect(): string {
  return allDefects()
    .map(({ id, title, parts }) => {
      const texts = parts.map(([owner, text], index) => {
        const whose = parts.length === 1 ? '' : `*In ${owner}.* `;
        const lines = [
          `${index === 0 ? `**${title}.** ` : ''}${whose}${text.happens}`,
          '',
          `- Why: ${text.why}`,
          `- Mended: ${text.mend}`,
        ];
        if (text.notShown !== undefined) lines.push(`- Not shown by a model: ${text.notShown}`);
        return lines.join('\n');
      });
      return `### ${id}\n\n${texts.join('\n\n')}`;
    })
    .join('\n\n');
}

function missing(): string {
  const known = new Set(allDefects().map(({ id }) => id));
  const without = PUBLISHED.flatMap(([prefix, count]) =>
    Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`),
  ).filter((id) => !known.has(id));
  if (without.length === 0) return 'Every defect of the list has its switch.';
  return without.map((id) => `- ${id} has no switch: ${NOT_SHOWN[id] ?? 'it is not modelled'}.`).join('\n');
}

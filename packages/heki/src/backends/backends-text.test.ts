import { describeCapabilities } from '@heki/hypervisor';
import stringWidth from 'string-width';
import { expect, test } from 'vitest';
import { HEKI_HYPERVISORS } from '../hypervisor-names.ts';
import { HYPERVISORS } from '../hypervisors.ts';
import { screenOf } from '../report/screen.ts';
import { hypervisorOf } from '../specification.ts';
import { backendsText, type ComparedBackend } from './backends-text.ts';

const screen = (columns: number) =>
  screenOf(
    { write: () => Promise.resolve(), isTerminal: false, columns: undefined },
    { COLUMNS: `${columns}` },
  );
const count = { calls: 1, exits: 2, flushes: 3, asked: 4 };
const backend = (name: ComparedBackend['name']): ComparedBackend => ({
  name,
  title: `title of ${name}`,
  processor: 'intel-vt-rp',
  unjudged: name !== 'kvm',
  capabilities: [{ name: 'other registers', value: 'gdtr, idtr, ldtr, tr, and a list that goes on' }],
  cost: { boot: count, moduleLoad: count },
  work: new Map([['jit', 'refused']]),
});
const BACKENDS = (['kvm', 'hyperv', 'hyperv-lvbs', 'xen'] as const).map(backend);

test.each([
  [200, [['kvm', 'hyperv', 'hyperv-lvbs', 'xen']]],
  [
    100,
    [
      ['kvm', 'hyperv'],
      ['hyperv-lvbs', 'xen'],
    ],
  ],
  [80, [['kvm'], ['hyperv'], ['hyperv-lvbs'], ['xen']]],
  // Too narrow for a table: each row stands below the other.
  [20, []],
])('puts as many backends side by side as %i columns have room for', (width, groups) => {
  const lines = backendsText(BACKENDS, screen(width));
  const heads = lines.filter((_, index) => lines[index - 1]?.startsWith('┌'));
  const names = heads.map((line) =>
    line
      .split('│')
      .map((cell) => cell.trim())
      .filter((cell) => cell !== ''),
  );
  expect(names).toEqual(groups);
  const widest = Math.max(...lines.filter((line) => line.startsWith('│')).map((line) => line.length));
  if (width >= 80) expect(widest).toBeLessThanOrEqual(width);
});

test('says of each what it is, and whether anybody has judged it', () => {
  const text = backendsText(BACKENDS, screen(110)).join('\n');
  expect(text).toContain('kvm: title of kvm, on intel-vt-rp\n');
  expect(text).toContain('xen: title of xen, on intel-vt-rp (unjudged');
});

test.each([60, 80, 120, 200])(
  'what every hypervisor declares fits a terminal of %i columns, and breaks between words',
  (columns) => {
    const declared = HEKI_HYPERVISORS.map((name): ComparedBackend => {
      const { title, unjudged } = HYPERVISORS[name];
      const { capabilities } = hypervisorOf(HYPERVISORS[name], { cpu: 'intel-vt-rp' }, {});
      return { ...backend(name), title, unjudged, capabilities: describeCapabilities(capabilities) };
    });
    const words = (text: string): Set<string> => new Set(text.split(/[\s│]+/));
    const known = words(
      declared
        .flatMap(({ capabilities }) => capabilities.flatMap(({ name, value }) => [name, value]))
        .join(' '),
    );
    const rows = backendsText(declared, screen(columns)).filter((line) => line.startsWith('│'));
    expect(Math.max(...rows.map((row) => stringWidth(row)))).toBeLessThanOrEqual(columns);
    const seen = words(rows.join(' '));
    expect([...known].filter((word) => word.length <= 20 && !seen.has(word))).toEqual([]);
  },
);

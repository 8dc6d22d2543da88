import { expect, describe as group, test } from 'vitest';
import { encodeMemory, type MemoryRun, memoryRun } from '../memory/memory-data.ts';
import type { AuditPage, PageFinding } from './audit-page.ts';
import { describe, spoken } from './describe.ts';
import { fillPage } from './fill-page.ts';
import { reportModel } from './report-model.ts';

const FINDING: PageFinding = {
  id: 'heki/wx-alias',
  severity: 'critical',
  title: 'Writable at one address, executable at another',
  summary: '',
  explanation: '',
  attack: '',
  legitimate: '',
  advice: '',
  pages: 2,
  ranges: [[16, 18]],
  rangesLeftOut: 0,
  aliases: [],
  aliasesLeftOut: 0,
  accepted: null,
  fails: true,
};
const place = (region: string, rights: string) => ({ region, rights, leaf: rights, size: '4K' });
const TEXT = memoryRun({
  start: 16,
  end: 18,
  rights: 'rwx',
  places: [place('direct map', 'rw-'), place('kernel text', 'r-x')],
  distances: [0xffff888000000, 0xffffffff80000],
  unlisted: 3,
});

const NAMES = [
  { virtualFrame: 0xffffffff80010, symbol: '_stext' },
  { virtualFrame: 0xffffffff80011, symbol: 'vfs_read+0x10' },
];

function page(runs: readonly MemoryRun[], most?: number): AuditPage {
  const grants = [
    { start: 0, end: 16, rights: 'rw-', immutable: false },
    { start: 16, end: 17, rights: 'r-x', immutable: true },
    { start: 17, end: 64, rights: 'rwx', immutable: false },
  ];
  return {
    tool: 'heki',
    verdict: { fails: true, text: '', counts: { info: 0, low: 0, medium: 0, high: 0, critical: 1 } },
    facts: [],
    findings: [FINDING],
    warnings: [],
    memory: encodeMemory({
      names: NAMES,
      ram: [{ start: 0, end: 64 }],
      runs,
      grants: [grants],
      ...(most && { most }),
    }),
    hypervisors: [
      {
        ...{ name: 'kvm', title: '', readiness: '', inForce: true, unjudged: false },
        ...{ facts: [], work: [], open: [], grants: 0 },
      },
    ],
  };
}

group('what is said of a place', () => {
  const model = reportModel(page([TEXT]));

  test('is its range, every address with its rights, what is granted, and what was found', () => {
    const text = spoken(describe(model, { start: 16, end: 18 }) ?? expect.fail());
    expect(text).toContain('0x10000-0x11fff, 8 KiB: written and executed');
    expect(text).toContain('rw- at 0xffff888000010000-0xffff888000011fff, direct map, 4K leaf');
    expect(text).toContain('r-x at 0xffffffff80010000-0xffffffff80011fff, kernel text, 4K leaf, from _stext');
    const second = spoken(describe(model, { start: 17, end: 18 }) ?? expect.fail());
    expect(second).toContain('kernel text, 4K leaf, here vfs_read+0x10');
    expect(text).toContain('3 more mappings not listed');
    expect(text).toContain('kvm: r-x for good, rwx.');
    expect(text).toContain('Finding, critical: Writable at one address');
  });

  test('tells RAM that nothing maps from what is no RAM, where nothing is granted', () => {
    expect(describe(model, { start: 1, end: 2 })?.title).toBe('0x1000-0x1fff, 4 KiB: not mapped');
    expect(describe(model, { start: 1, end: 2 })?.findings).toEqual([]);
    const outside = describe(model, { start: 63, end: 65 });
    expect(outside?.enforced[0]?.text).toBe('rwx, nothing: no memory');
    expect(describe(model, { start: 64, end: 65 })?.title).toBe('0x40000-0x40fff, 4 KiB: no RAM');
  });

  test('tells what the kernel has it for, and what nothing is asked for, of all of it or of parts', () => {
    const whole = page([TEXT]);
    const memory = encodeMemory({
      ...{ ram: [{ start: 0, end: 64 }], runs: [TEXT], grants: [[]], tables: [{ start: 2, end: 3 }] },
      ...{
        crashKernel: [{ start: 8, end: 12 }],
        bpf: [{ start: 16, end: 17 }],
        unsent: [{ start: 0, end: 9 }],
      },
    });
    const holds = (start: number, end: number) =>
      describe(reportModel({ ...whole, memory }), { start, end })?.holds;
    const unsent = 'nothing is asked of the hypervisor for it';
    expect(holds(2, 3)).toEqual(['page tables of the kernel', unsent]);
    expect(holds(8, 12)).toEqual(['kept for a crash kernel', `in parts: ${unsent}`]);
    expect(holds(16, 17)).toEqual(["eBPF, by the kernel's own lists"]);
    expect(holds(20, 21)).toEqual([]);
    expect(describe(model, { start: 16, end: 17 })?.holds).toEqual([]);
  });

  test('says of stretches that are put together how many they were, and names the worst', () => {
    const runs = [TEXT, memoryRun({ ...TEXT, start: 20, end: 21, rights: 'r--', places: [], distances: [] })];
    const text = spoken(describe(reportModel(page(runs, 1)), { start: 20, end: 21 }) ?? expect.fail());
    expect(text).toContain(
      '2 stretches put together: 3 pages of them mapped, the worst written and executed',
    );
  });
});

group('filling the page', () => {
  const hostile = '</script><!--<script>\u2028$&';

  test('leaves nothing in the data that could end them, and all of it to be read again', () => {
    const data = { ...page([TEXT]), tool: hostile };
    const filled = fillPage('<script>"heki:data"</script>', data, (text) => text);
    const json = filled.slice('<script>'.length, -'</script>'.length);
    expect(json).not.toContain('<');
    expect(JSON.parse(json)).toEqual(data);
  });

  test('shows every text as the caller has it printed', () => {
    const filled = fillPage('"heki:data"', page([TEXT]), (text) => text.toUpperCase());
    expect(filled).toContain('WRITABLE AT ONE ADDRESS');
    expect(filled).toContain('KERNEL TEXT');
  });

  test('refuses a template that is none', () => {
    expect(() => fillPage('<html>', page([]), String)).toThrow('the template lacks "heki:data"');
  });
});

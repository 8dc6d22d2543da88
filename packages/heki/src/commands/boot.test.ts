import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { expectBeside } from '../testing/expect-beside.ts';
import { projectFile, runCommand } from '../testing/run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'heki-boot-'));

/** A file with `content`, as JSON unless it is text. */
function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const SMALL = ['--memory', '64MiB'];

/** Examples with a scenario, which each of them runs by itself: the one with a key by the command, and all where there is time. */
const EXAMPLES =
  process.env.HEKI_FUZZ === 'long'
    ? readdirSync(projectFile('examples')).filter((name) =>
        existsSync(projectFile(`examples/${name}/scenario.json`)),
      )
    : ['boot-signed-modules'];

describe('heki boot', () => {
  test('boots a kernel and shows what each kind of page is granted', async () => {
    const { exitCode, stdout, stderr } = await runCommand([
      'boot',
      ...SMALL,
      '--vcpus',
      '2',
      '--cmdline',
      'nokaslr',
    ]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toContain('64MiB, 2 CPUs, 4-level paging');
    expect(stdout).toContain('  smp: Brought up 1 node, 2 CPUs\n');
    expect(stdout).toMatch(/kernel text +│ +3,586 │ r-x +│ r-x +│ as mapped/);
    expect(stdout).toContain('1 page list to the hypervisor\n');
  });

  test.each(['kvm-vmm', 'kvm-vtl', 'kvm-planes', 'hyperv-lvbs', 'xen', 'none'])(
    'boots on %s',
    async (hypervisor) => {
      const { exitCode, stdout } = await runCommand(['boot', ...SMALL, '--hypervisor', hypervisor]);
      expect(exitCode).toBe(0);
      expect(stdout).toContain('Run /init as init process');
    },
  );

  test('prints one JSON object', async () => {
    const { stdout } = await runCommand(['boot', ...SMALL, '--profile', 'rfc-v2', '--json']);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      machine: { memory: '64MiB', profile: 'rfc-v2', mbec: true, vcpus: 1 },
      boot: 'works',
      pageLists: { sent: 1, refused: 0 },
      expected: true,
    });
    const trampoline = report.classes.find(({ name }: { name: string }) => name === 'trampoline text');
    expect(trampoline).toMatchObject({
      pages: 2,
      mappings: { 'r-x': 2 },
      granted: { 'rw-': 2 },
      withheld: 2,
    });
  });

  test('prints the trace within the JSON object', async () => {
    const { stdout } = await runCommand(['boot', ...SMALL, '--trace', '--json']);
    expect(JSON.parse(stdout).trace[0]).toBe('kernel   startup_64');
  });

  test.each(['hyperv', 'xen'])(
    'says what %s can do without mode-based execute control',
    async (hypervisor) => {
      const plain = await runCommand(['boot', ...SMALL, '--hypervisor', hypervisor, '--no-mbec']);
      expect(plain.exitCode).toBe(0);
      expect(plain.stdout).toContain(`hypervisor ${hypervisor}, no MBEC; profile hardened`);
      const { stdout: json } = await runCommand(['boot', ...SMALL, '--hypervisor', hypervisor, '--json']);
      expect(JSON.parse(json).machine.mbec).toBe(hypervisor === 'hyperv');
    },
  );

  test('boots the image of another kernel, by its symbols', async () => {
    const names = [
      ['_text', 'ffffffffb1000000'],
      ['_etext', 'ffffffffb1200100'],
      ['__start_rodata', 'ffffffffb1400000'],
      ['__end_rodata', 'ffffffffb1500000'],
      ['_sdata', 'ffffffffb1600000'],
      ['init_top_pgt', 'ffffffffb1601000'],
      ['_edata', 'ffffffffb1700100'],
      ['__init_begin', 'ffffffffb1800000'],
      ['__init_end', 'ffffffffb1900000'],
      ['__bss_start', 'ffffffffb1902000'],
      ['idt_table', 'ffffffffb1903000'],
      ['__bss_stop', 'ffffffffb1e00000'],
      ['_end', 'ffffffffb1f00000'],
    ];
    const map = names.map(([name, address]) => `${address} T ${name}\n`).join('');
    const kernel = file('System.map', `${map}0000000000000000 t module_function\t[module]\n`);
    const { exitCode, stdout } = await runCommand(['boot', ...SMALL, '--kernel', kernel]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Boot of System.map');
    expect(stdout).toMatch(/kernel text +│ +513 │ r-x +│ r-x +│ as mapped/);
    // The same by a scenario beside it, and from JSON.
    const symbols = Object.fromEntries(names.map(([name, address]) => [name, `0x${address}`]));
    file('kernel.json', { symbols });
    const scenario = file('other-kernel.json', { machine: { memory: '64MiB', kernel: 'kernel.json' } });
    expect((await runCommand(['boot', '--scenario', scenario])).stdout).toContain('Boot of kernel.json');
  });

  test.each([
    ['nothing.map', 'no map at all\n', 'line 1 is not a symbol: expected one as "ffffffff81000000 T _text"'],
    ['hidden.map', '0000000000000000 T _text\n0000000000000000 T _etext\n', 'kptr_restrict'],
    ['short.map', 'ffffffff81000000 T _text\n', 'the symbols of short.map lack _'],
    ['broken-symbols.json', '{', 'not JSON'],
    ['no-symbols.json', '{"symbols":{"_text":7}}', 'symbols._text'],
  ])('says what is wrong with the symbols in %s', async (name, content, complaint) => {
    const { exitCode, stderr } = await runCommand(['boot', '--kernel', file(name, content)]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain(name);
    expect(stderr).toContain(complaint);
  });

  test('traces every event of every part', async () => {
    const { stdout } = await runCommand(['boot', ...SMALL, '--trace']);
    const from = new Set(stdout.split('\n').map((line) => /^(kernel|guest|vcpu0|kvm) /.exec(line)?.[1]));
    expect([...from].filter((part) => part !== undefined).sort()).toEqual([
      'guest',
      'kernel',
      'kvm',
      'vcpu0',
    ]);
  });

  test('takes the steps of a scenario, and says which came out otherwise than expected', async () => {
    file('base.json', { machine: { memory: '64MiB' }, steps: [{ do: 'load-module', name: 'm' }] });
    const path = file('life.json', {
      include: ['base.json'],
      steps: [
        { do: 'trace', on: 'kernel' },
        { do: 'cpu-up', cpu: 1, expect: 'error' },
      ],
    });
    const { exitCode, stdout } = await runCommand(['boot', '--scenario', path], { terminal: true });
    const text = stripVTControlCharacters(stdout);
    expect(exitCode).toBe(1);
    expect(text).toContain('works    load-module m\n');
    expect(text).toContain('error    trace kernel: -1: Heki refused to open the text (expected: works)\n');
    expect(text).toMatch(/error {4}cpu-up cpu 1: -22: .* \(expected\)\n/);
  });

  test.each(EXAMPLES)('finds everything as expected in the scenario of the example %s', async (name) => {
    const path = projectFile(`examples/${name}/scenario.json`);
    const { exitCode, stderr } = await runCommand(['boot', '--scenario', path]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });

  test('runs one kind of work over every setting', async () => {
    const { exitCode, stdout } = await runCommand(['boot', '--workload', 'suspend', ...SMALL]);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/work +│ no Heki +│ rfc-v2 +│ rfc-v2, no MBEC +│ hardened +│ hardened, no MBEC/);
    expect(stdout).toMatch(/suspend │ ✔ works +│ ✘ breaks +│ ✘ breaks +│ ✔ works +│ ✔ works/);
  });

  test.each<[asked: readonly string[], settings: readonly string[]]>([
    [
      ['--hypervisor', 'hyperv'],
      ['no Heki', 'hyperv, hardened'],
    ],
    [
      ['--profile', 'rfc-v2', '--no-mbec'],
      ['no Heki', 'kvm, rfc-v2, no MBEC'],
    ],
    [['--hypervisor', 'none'], ['no Heki']],
  ])('runs work without Heki and on what was asked for: %j', async (asked, settings) => {
    const { stdout, exitCode } = await runCommand([
      'boot',
      '--workload',
      'jit',
      ...SMALL,
      ...asked,
      '--json',
    ]);
    expect(exitCode).toBe(0);
    expect(Object.keys(JSON.parse(stdout).workloads[0].outcomes)).toEqual(settings);
  });

  test('runs work on the machine that was asked for', async () => {
    const machine = ['--vcpus', '3', '--levels', '5', '--kaslr-seed', '1', '--memory', '64MiB'];
    const asked = [...machine, '--hypervisor', 'kvm'];
    const { stdout } = await runCommand(['boot', '--workload', 'jit', ...asked, '--json']);
    const { outcomes } = JSON.parse(stdout).workloads[0];
    // Without Heki every page that is not mapped so: 16,286 frames of RAM.
    expect(outcomes['no Heki'].writableAndExecutable).toBeLessThan(16_384);
    const off = await runCommand(['boot', '--workload', 'jit', ...asked, '--cmdline', 'heki=0', '--json']);
    const { 'kvm, hardened': hardened } = JSON.parse(off.stdout).workloads[0].outcomes;
    expect(hardened.writableAndExecutable).toBeGreaterThan(10_000);
  });

  test.each<[args: readonly string[], exitCode: number, message: string]>([
    [['--memory', '3'], 2, '--memory 3: expected a number of MiB or GiB from 64MiB to 256GiB'],
    [['--memory', '1MiB'], 2, '--memory 1MiB: expected a number of MiB'],
    [['--vcpus', '0'], 2, 'Expected a whole number from 1 to 64'],
    [['--levels', '3'], 2, 'Expected 4 or 5'],
    [['--hypervisor', 'qemu'], 2, '--hypervisor qemu: expected one of kvm'],
    [['--workload', 'sleep'], 2, '--workload sleep: expected all or module-load'],
    [['--workload', 'jit', '--scenario', 'x'], 2, '--workload and --scenario: expected one of them'],
    [['--workload', 'jit', '--trace'], 2, '--workload and --trace: expected one of them'],
    [['--workload', 'suspend', '--vcpus', '1'], 2, '--vcpus 1: expected at least 2, which the work suspend'],
    [
      ['--scenario', file('where.json', { machine: { hypervisor: 'esx' } })],
      3,
      'where.json:1:26 at machine.hypervisor: --hypervisor esx: expected one of kvm, kvm-vmm',
    ],
    [['--scenario', join(folder, 'none.json')], 3, 'none.json: no such file'],
    [['--scenario', file('text.json', 'steps:')], 3, 'text.json:1:1: not JSON'],
    [
      ['--scenario', file('bad.json', { steps: [{ do: 'fly' }] })],
      3,
      'bad.json:1:17 at steps.0.do: "fly": expected one of',
    ],
    [['--scenario', file('lost.json', { include: ['none.json'] })], 3, 'none.json: no such file'],
    [['--scenario', file('self.json', { include: ['self.json'] })], 3, 'self.json: includes itself'],
  ])('refuses %j with exit code %i', async (args, exitCode, message) => {
    const result = await runCommand(['boot', ...args]);
    expect(result.exitCode).toBe(exitCode);
    expect(result.stderr).toContain(message);
    expect(result.stderr).not.toMatch(/\n\s+at |internal error/);
    expect(result.stdout).toBe('');
  });
});

test('heki boot keeps what was run before a step that cannot be taken, and says what was not', async () => {
  const steps = [{ do: 'vmalloc', name: 'a', pages: 1 }, { do: 'vfree', name: 'b' }, { do: 'suspend' }];
  const path = file('order.json', { steps });
  const { exitCode, stdout, stderr } = await runCommand(['boot', '--scenario', path, ...SMALL]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: '' });
  expect(stdout).toContain('works    vmalloc a');
  expect(stdout).toContain('invalid  vfree b: there is no area b: an earlier step must make it');
  expect(stdout).toContain('not taken: suspend');
  expect(stdout).toContain('kernel text');
});

describe('heki backends', () => {
  test('names what it knows when it is asked for another', async () => {
    const { exitCode, stderr } = await runCommand(['backends', 'kvm', 'none']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(
      'hypervisor none: expected one of kvm, kvm-vmm, kvm-vtl, kvm-planes, hyperv, hyperv-lvbs, xen',
    );
  });

  // `boot.long.test.ts` has all of them side by side, which `backends-text.test.ts` sees to here.
  test('tells of a hypervisor what it can do, and what becomes of work', () =>
    expectBeside(['xen'], ['xen']));
});

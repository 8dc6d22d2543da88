import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-modules-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let files = 0;
function file(text: string, ending = 'mjs'): string {
  const path = join(scratch, `file-${files++}.${ending}`);
  writeFileSync(path, text);
  return path;
}

const MINE = projectFile('examples/write-a-backend/src/mine.mjs');
const REMAP = projectFile('examples/write-an-attack/src/remap-data.mjs');
const boot = (...args: string[]) => runCommand(['boot', '--memory', '64MiB', ...args]);

/** A module that hands on the parts of mine.mjs, but for what `changes` says. */
const changed = (changes: string): string =>
  file(`export default (settings) => ({ name: 'x', createVirtualMachine() {}, describe() {}, processor: settings.processor, capabilities: {
    policyOwner: 'vmm', executeSplit: 'full', executeOnly: true, readDenial: true, immutability: { kind: 'none' },
    unrequested: {}, granule: 4096, largePages: 'split-by-backend', pins: {}, bypasses: [], inForce: 'on-return',
    failure: 'all-or-nothing', denialsDecidedBy: 'vmm', verdicts: [], lifeCycle: {}, saveRestore: false }, ${changes} });`);

describe('a module', () => {
  test.each(['--hypervisor', '--attack'])('for %s that is not there is told by its name', async (flag) => {
    const path = join(scratch, 'none.mjs');
    const { exitCode, stdout, stderr } = await boot(flag, path);
    expect(stderr).toBe(`heki: ${path}: no such file\n`);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  });

  test.each([
    ['a directory', () => `${scratch}/`, /: is a directory, expected an ES module/],
    ['a device', () => '/dev/zero', /: is a device, a pipe or a socket, expected an ES module/],
    ['a mistake in its syntax', () => file('export default {\n  name: ;\n};'), /cannot be loaded: /],
    [
      'code that throws',
      () => file("\nthrow new RangeError('so \\x1b[31mred');"),
      /mjs:2:7: cannot be loaded: RangeError: so \\x1b\[31mred$/,
    ],
    [
      'code that throws what is not an error',
      () => file('throw Object.create(null);'),
      /cannot be loaded: something that cannot be printed$/,
    ],
    ['a package that is not there', () => file("import 'not-there';"), /cannot be loaded: Error: /],
    [
      'no default export',
      () => file('export const x = 1;'),
      /: its default export is nothing, expected a function that makes a hypervisor/,
    ],
    [
      'a default export of another kind',
      () => file('export default [];'),
      /is an empty array, expected a function/,
    ],
    [
      'a driver of another kind',
      () => file('export default () => ({}); export const driver = 3;'),
      /: its export driver is a number, expected a function that fills the port/,
    ],
  ])('with %s is an error that says what was expected', async (_, make, expected) => {
    const { exitCode, stdout, stderr } = await boot('--hypervisor', make());
    expect(stderr.trimEnd()).toMatch(expected);
    expect(stderr).not.toContain('\u001b');
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  });
});

describe('a backend of the user', () => {
  test.each([
    ['nothing', () => file('export default () => {};'), /made nothing, expected a hypervisor$/],
    ['a promise', () => file('export default async () => ({});'), /made a Promise, expected a hypervisor$/],
    [
      'an error',
      () => file("export default () => { throw new Error('not today') };"),
      /:1:\d+: its default export threw Error: not today$/,
    ],
    [
      'no name',
      () => changed('name: undefined'),
      /the name of the hypervisor is nothing, expected up to 64 letters/,
    ],
    [
      'a name for a terminal',
      () => changed("name: '\\x1b[2J'"),
      /the name of the hypervisor is "\\u001b\[2J", expected/,
    ],
    [
      'no machines',
      () => changed('createVirtualMachine: 1'),
      /createVirtualMachine of the hypervisor is a number, expected a function$/,
    ],
    [
      'no capabilities',
      () => changed('capabilities: null'),
      /capabilities of the hypervisor are null, expected an object$/,
    ],
    [
      'half its capabilities',
      () => changed("capabilities: { policyOwner: 'vmm' }"),
      /capabilities.executeSplit is nothing, expected string$/,
    ],
    [
      'another processor',
      () => changed("processor: { name: 'z80' }"),
      /the processor of the hypervisor is "z80", expected intel-vt-rp, which the settings name/,
    ],
  ])('that makes %s is refused, and told what was expected', async (_, make, expected) => {
    const path = make();
    const { exitCode, stderr } = await boot('--hypervisor', path);
    expect(stderr).toContain(`heki: ${path}:`);
    expect(stderr.trimEnd()).toMatch(expected);
    expect(exitCode).toBe(3);
  });

  const ofMachine = (body: string): string =>
    file(`import mine, { driver } from ${JSON.stringify(pathToFileURL(MINE).href)}; export { driver };
export default (settings) => {
  const real = mine(settings);
  return { ...real, createVirtualMachine(options) { ${body} } };
};`);
  const VM = 'const vm = real.createVirtualMachine(options);';

  test.each([
    ['is nothing', '', /: createVirtualMachine made nothing, expected a virtual machine$/],
    ['throws', "throw new Error('no \\x1b[2J')", /:4:\d+: createVirtualMachine threw Error: no \\x1b\[2J$/],
    ['is half a one', 'return {}', /: addMemory of the virtual machine is nothing, expected a function$/],
    [
      'has no rights',
      `${VM} return Object.assign(vm, { effectiveRights: 1 })`,
      /: effectiveRights of the virtual machine is a number/,
    ],
    [
      'throws later',
      `${VM} return Object.assign(vm, { addMemory() { null.x; } })`,
      /: addMemory threw TypeError: /,
    ],
  ])('whose virtual machine %s is told as its own mistake', async (_, body, expected) => {
    const path = ofMachine(body);
    const { exitCode, stdout, stderr } = await boot('--cpu', 'amd-zen4', '--hypervisor', path);
    expect(stderr).toContain(`heki: ${path}:`);
    expect(stderr.trimEnd()).toMatch(expected);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  });

  /** The hypercall of a driver is an exit, in which the backend tells what it was asked for. */
  const inExit = (code: string): string =>
    `const vm = real.createVirtualMachine({ ...options, onEvent(event) {\nif (event.type === 'protected') ${code};\n} }); return vm;`;

  test.each([
    ['throws', 'null.x', /:5:38: protectMemory threw TypeError: Cannot read properties of null/],
    [
      'calls the packages wrongly',
      'vm.removeMemory(0x123456789)',
      /:5:36: threw HypervisorError: no memory starts at frame/,
    ],
  ])('that %s in an exit of a virtual CPU is told as its own mistake', async (_, code, expected) => {
    const path = ofMachine(inExit(code));
    const { exitCode, stdout, stderr } = await boot('--cpu', 'amd-zen4', '--hypervisor', path);
    expect(stderr).toContain(`heki: ${path}:`);
    expect(stderr).toMatch(expected);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  });

  test.each([
    ['an error', "throw new Error('no \\x1b[2J')", /mjs:\d+:\d+: describe threw Error: no \\x1b\[2J\n/],
    ['what is not an error', "throw 'up'", /mjs: describe threw string up\n/],
  ])('whose describe throws %s is told as its own mistake', async (_, code, expected) => {
    const path =
      file(`import mine, { driver } from ${JSON.stringify(pathToFileURL(MINE).href)}; export { driver };
export default (settings) => ({ ...mine(settings), describe() { ${code} } });`);
    const { exitCode, stderr } = await boot('--cpu', 'amd-zen4', '--hypervisor', path, '--trace');
    expect(stderr).toMatch(expected);
    expect(exitCode).toBe(3);
  });

  /** Every CR4 write of the guest's leads to an event, in whatever code of heki's it happens. */
  test.each([
    ["'up'", /mjs: threw string up\n/],
    ['null', /mjs: threw object null\n/],
    ['Symbol.iterator', /mjs: threw symbol Symbol\(Symbol.iterator\)\n/],
  ])('that throws %s in an exit which heki leads to is told as its own mistake', async (thrown, expected) => {
    const path = ofMachine(
      `const vm = real.createVirtualMachine({ ...options, onEvent(event) { if (event.type === 'denied') throw ${thrown}; } }); return vm;`,
    );
    const { exitCode, stderr } = await runCommand(['protect', '--cpu', 'amd-zen4', '--hypervisor', path]);
    expect(stderr).toMatch(expected);
    expect(exitCode).toBe(3);
  });

  test.each([
    ['gives nothing', '() => {}', /: driver gave nothing, expected true or false\n/],
    ['throws', "() => { throw 'up'; }", /: driver threw string up\n/],
    [
      'fills its port with something else',
      '(guest) => { guest.hypervisor = { lockCrs: 1 }; return true; }',
      /: lockCrs of the hypervisor that driver gave is a number, expected a function\n/,
    ],
    [
      'answers with something else',
      '(guest) => { guest.hypervisor = { lockCrs() {}, protectMemory() {} }; return true; }',
      /: lockCrs gave nothing, expected 0 or a negative error number\n/,
    ],
  ])('whose driver %s is told as its own mistake', async (_, driver, expected) => {
    const path = file(
      `export { default } from ${JSON.stringify(pathToFileURL(MINE).href)}; export const driver = ${driver};`,
    );
    const { exitCode, stderr } = await boot('--cpu', 'amd-zen4', '--hypervisor', path);
    expect(stderr).toMatch(expected);
    expect(exitCode).toBe(3);
  });

  test('without a driver is found by no kernel', async () => {
    const path = file(`export { default } from ${JSON.stringify(MINE)};`);
    const { stdout } = await boot('--hypervisor', path, '--cpu', 'amd-zen4', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ heki: { early: 'no-hypervisor' }, boot: 'works' });
  });

  test('protects a kernel, and what it denies is read from what it did', async () => {
    const { exitCode, stdout } = await runCommand([
      'protect',
      '--hypervisor',
      MINE,
      '--cpu',
      'amd-zen4',
      '--json',
    ]);
    const { hypervisor, verdict, attacks, warnings } = JSON.parse(stdout);
    expect({ exitCode, hypervisor, inForce: verdict.inForce }).toEqual({
      exitCode: 0,
      hypervisor: MINE,
      inForce: true,
    });
    expect(warnings).toContainEqual({
      id: 'unjudged',
      message: `no outside implementation has judged the model of ${MINE}`,
    });
    const stopped = attacks.filter(({ standing }: { standing: string }) => standing === 'stopped-by-heki');
    expect(
      stopped.map(({ name, with: { by } }: { name: string; with: { by: string } }) => [name, by]),
    ).toEqual([
      ['store-text-after-pte-edit', 'second-level'],
      ['execute-data', 'second-level'],
      ['clear-smep', 'cr-pin'],
    ]);
  });

  test('boots kernels and does the work, as those do that come with heki', async () => {
    const { exitCode, stdout } = await boot(
      '--hypervisor',
      MINE,
      '--cpu',
      'amd-zen4',
      '--workload',
      'module-load',
      '--json',
    );
    expect(exitCode).toBe(0);
    const [{ outcomes }] = JSON.parse(stdout).workloads;
    expect(Object.values(outcomes)).toMatchObject([{ verdict: 'works' }, { verdict: 'works' }]);
  });

  test('is named by a scenario relative to its file', async () => {
    const path = file(JSON.stringify({ machine: { memory: '64MiB', hypervisor: './none.mjs' } }), 'json');
    expect((await runCommand(['boot', '--scenario', path])).stderr).toContain(
      `${join(scratch, 'none.mjs')}: no such file`,
    );
  });
});

const attack = (
  fields: string,
  run = "return { outcome: 'not-tried', reason: 'there is nothing' };",
): string =>
  file(
    `export default { name: 'mine', title: 'try', meaning: 'much', run(attacker) { ${run} }, ${fields} };`,
  );

describe('an attack of the user', () => {
  test.each([
    [
      'no attack',
      () => file('export default () => {};'),
      /: default export is a function, expected an attack: \{ name, title, meaning, run \}/,
    ],
    [
      'no attacks',
      () => file('export default [];'),
      /: its default export is an empty array, expected attacks$/,
    ],
    [
      'no name',
      () => attack('name: undefined'),
      /: default export.name is nothing, expected small letters, digits and hyphens/,
    ],
    [
      'a name for a terminal',
      () => attack("name: '\\x1b[2J'"),
      /.name is "\\u001b\[2J", expected small letters/,
    ],
    [
      'the name of another',
      () => attack("name: 'store-data'"),
      /: attack store-data: expected another name, for heki has an attack of this one$/,
    ],
    ['no title', () => attack("title: ''"), /.title is a string, expected a text of 1 to 200 characters$/],
    ['nothing to run', () => attack('run: 1'), /.run is a number, expected a function/],
    ['another part', () => attack("part: 'stack'"), /.part is a string, expected 'text' or 'data'$/],
    ['another claim', () => attack('claim: { profiles: [] }'), /.claim is an object, expected \{ profiles/],
    [
      'its second attack',
      () => file("export default [{ name: 'a', title: 'a', meaning: 'a', run() {} }, {}];"),
      /: default export, attack 1.name is nothing/,
    ],
    [
      'code that throws',
      () => attack('x: 1', "throw new Error('\\x1b[31m')"),
      /: attack mine threw Error: \\x1b\[31m$/,
    ],
    [
      'no end',
      () => attack('x: 1', '\nfor (;;)\nattacker.readCr(4);'),
      /:3:10: attack mine goes on after 100000 instructions: expected its end$/,
    ],
    ['no verdict', () => attack('x: 1', ''), /: attack mine gave nothing, expected a verdict/],
    ['a promise', () => attack('x: 1', 'return Promise.resolve()'), /gave a Promise, expected a verdict/],
    [
      'another outcome',
      () => attack('x: 1', "return { outcome: 'won', reason: '' }"),
      /an outcome that is a string, expected one of succeeded, blocked/,
    ],
    [
      'a success without a deed',
      () => attack('x: 1', "return { outcome: 'succeeded', reason: '' }"),
      /says succeeded and did nothing: expected not-tried$/,
    ],
    [
      "another's step",
      () => attack('x: 1', "attacker.readCr(4); return { outcome: 'blocked', reason: '', decisive: {} }"),
      /gave a decisive step that is not one of its own$/,
    ],
  ])('with %s is an error that says what was expected', async (_, make, expected) => {
    const path = make();
    const { exitCode, stdout, stderr } = await boot('--attack', path);
    expect(stderr).toContain(`heki: ${path}`);
    expect(stderr.trimEnd()).toMatch(expected);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  });

  test('is tried beside those that come with heki, with Heki and without', async () => {
    const { exitCode, stdout } = await runCommand(['protect', '--attack', REMAP, '--json']);
    const { attacks } = JSON.parse(stdout);
    expect(attacks).toHaveLength(9);
    expect(attacks[8]).toMatchObject({
      name: 'remap-data',
      without: { outcome: 'succeeded' },
      with: { outcome: 'succeeded' },
      standing: 'not-stopped',
      claimed: false,
      claimedBy: { hardened: [] },
    });
    expect(exitCode).toBe(0);
  });

  test('is tried in the end of a life, unless a step names it', async () => {
    const { steps } = JSON.parse((await boot('--attack', REMAP, '--json')).stdout);
    expect(steps).toMatchObject([{ step: { do: 'attack', how: 'remap-data' }, verdict: 'works' }]);
    const named = file(
      JSON.stringify({ steps: [{ do: 'attack', how: 'remap-data', expect: 'works' }] }),
      'json',
    );
    const again = JSON.parse((await boot('--attack', REMAP, '--scenario', named, '--json')).stdout);
    expect(again.steps).toMatchObject([{ expected: true }]);
  });

  test('says in words for people what it did, whatever the words are', async () => {
    const path = attack(
      "title: 'a \\x1b[2J title'",
      "attacker.readCr(4); return { outcome: 'blocked', reason: 'it \\x1b[2J failed' };",
    );
    const { stdout } = await runCommand(['protect', '--attack', path]);
    expect(stdout).toContain('a \\x1b[2J title');
    expect(stdout).toContain('it \\x1b[2J failed');
    expect(stdout).not.toContain('\u001b');
  });
});

describe('a scenario', () => {
  test('names modules with attacks, for its own steps and for those of files that include it', async () => {
    const inner = file(
      JSON.stringify({ attacks: [REMAP], steps: [{ do: 'attack', how: 'remap-data', expect: 'works' }] }),
      'json',
    );
    const outer = file(
      JSON.stringify({
        include: [inner],
        attacks: [REMAP],
        steps: [{ do: 'attack', how: 'remap-data', expect: 'works' }],
      }),
      'json',
    );
    const { exitCode, stdout } = await boot('--scenario', outer, '--json');
    expect(JSON.parse(stdout).steps).toMatchObject([{ expected: true }, { expected: true }]);
    expect(exitCode).toBe(0);
  });

  test.each([
    [
      'an unknown attack',
      { steps: [{ do: 'attack', how: 'remap-dta' }] },
      ':5:14 at steps.0.how: there is no attack remap-dta: expected one of store-text, ',
    ],
    [
      'an unknown defect',
      { machine: { defects: { 'B-H99': true } } },
      ':4:16 at machine.defects.B-H99: defect B-H99: neither the guest nor the hypervisor kvm has it',
    ],
    [
      'an unknown hypervisor',
      { machine: { hypervisor: 'vmware' } },
      ':3:19 at machine.hypervisor: --hypervisor vmware: expected one of kvm, ',
    ],
    [
      'a processor without what it changes',
      { machine: { cpu: { base: 'amd-zen4', ept: {} } } },
      ':3:12 at machine.cpu: cpu amd-zen4: it has no EPT to change',
    ],
    [
      'levels that its processor lacks',
      { machine: { levels: 5, cpu: 'qemu64' } },
      ':3:15 at machine.levels: levels 5: the processor qemu64 has no 5-level paging',
    ],
    [
      'a secure kernel where there is none',
      { machine: { secureKernel: 'hardened' } },
      ':3:21 at machine.secureKernel: --secure-kernel: kvm has none',
    ],
  ])('with %s is told the file and the place', async (_, scenario, expected) => {
    const path = file(JSON.stringify(scenario, undefined, 2), 'json');
    const { exitCode, stderr } = await boot('--scenario', path);
    expect(stderr).toContain(`heki: ${path}${expected}`);
    expect(exitCode).toBe(3);
  });

  test('is not blamed for what the options of the command say', async () => {
    const path = file(JSON.stringify({ machine: { defects: { 'B-H1': true } } }), 'json');
    const { exitCode, stderr } = await boot('--scenario', path, '--defect', 'B-H99');
    expect(stderr).toMatch(/^heki: defect B-H99: /);
    expect(exitCode).toBe(2);
  });
});

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { LINKED, vmlinuxOfText, withTables } from '../testing/build-vmlinux.ts';
import { coreBytes, pagesOf } from '../testing/mutated-core.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-image-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const KASLR = fixturePath('k61-256-kaslr');
const { _text: told }: { _text: string } = JSON.parse(
  readFileSync(KASLR.replace('.elf.gz', '.json'), 'utf8'),
).symbols;
const text = BigInt(told);

/** A vmlinux of one page of text, which has its own address at 0x10, with a table of relocations that says so. */
function vmlinux(release: string, withRelocations = true): string {
  const page = Buffer.alloc(0x1000);
  page.set([0x55, 0xc3]);
  page.writeBigUInt64LE(LINKED + 0x123n, 0x10);
  page.write(`Linux version ${release} `, 0x100, 'latin1');
  const relocations = Buffer.alloc(withRelocations ? 12 : 0);
  if (withRelocations) relocations.writeUInt32LE(0x8100_0010, 4);
  const path = join(scratch, `vmlinux-${release}-${withRelocations}`);
  writeFileSync(path, vmlinuxOfText(page, relocations));
  return path;
}

const OWN = '6.1.0-56-cloud-amd64';

/** The same as the linker leaves it: with symbols, and .rela sections in place of the table. */
function linked(): string {
  const path = join(scratch, 'vmlinux-linked');
  const symbols = [
    ['_text', LINKED],
    ['_stext', LINKED],
    ['own_address', LINKED + 0x10n],
  ] as const;
  writeFileSync(path, withTables(readFileSync(vmlinux(OWN, false)), symbols, [LINKED + 0x10n]));
  return path;
}

describe('an image over a dump without contents', () => {
  test('gives bytes where KASLR has them, relocated, as what they are', async () => {
    const args = ['read', KASLR, text.toString(16), '0x18', '--vmlinux', vmlinux(OWN), '--as', 'hex'];
    const { exitCode, stdout } = await runCommand(args);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('# from the image, not from the guest');
    const { stretches } = JSON.parse((await runCommand([...args, '--json'])).stdout);
    expect(stretches).toHaveLength(1);
    expect(stretches[0]).toMatchObject({ from: 'image', length: 0x18 });
    const bytes = Buffer.from(stretches[0].bytes, 'hex');
    expect([...bytes.subarray(0, 2)]).toEqual([0x55, 0xc3]);
    expect(bytes.readBigUInt64LE(0x10)).toBe(text + 0x123n);
  });

  test('of another build of the same release is refused by its build id', async () => {
    const own = '3b43fad5034874490492495d552c0af6a5fab235';
    const page = readFileSync(vmlinux(OWN)).subarray(-0x100c);
    const read = (buildId: string) => {
      const path = join(scratch, `vmlinux-${buildId}`);
      const id = Buffer.from(buildId, 'hex');
      writeFileSync(path, vmlinuxOfText(page.subarray(0, 0x1000), page.subarray(0x1000), id));
      return runCommand(['read', KASLR, text.toString(16), '0x18', '--vmlinux', path]);
    };
    expect(await read(own)).toMatchObject({ exitCode: 0 });
    const other = own.replace('3b', '3c');
    const refused = await read(other);
    expect(refused).toMatchObject({ exitCode: 3, stdout: '' });
    expect(refused.stderr).toContain(
      `the image has the build id ${other}, the snapshot's kernel ${own}: it is another build of the same release`,
    );
  });

  test('of a vmlinux that came out of no bzImage is moved by what the linker left in it', async () => {
    const args = ['read', KASLR, text.toString(16), '0x18', '--json', '--vmlinux'];
    const [own, table] = await Promise.all(
      [linked(), vmlinux(OWN)].map(
        async (path) => JSON.parse((await runCommand([...args, path])).stdout).stretches,
      ),
    );
    expect(own).toEqual(table);
    expect(own[0]).toMatchObject({ from: 'image', length: 0x18 });
  });

  test('names what is there by the symbols of a vmlinux, unless it was stripped', async () => {
    const named = await runCommand(['symbols', KASLR, 'own_address', '--symbols', linked()]);
    expect(named).toMatchObject({ exitCode: 0 });
    expect(named.stdout).toContain(`${(text + 0x10n).toString(16)} T own_address`);
    const stripped = await runCommand(['symbols', KASLR, 'own_address', '--symbols', vmlinux(OWN)]);
    expect(stripped).toMatchObject({ exitCode: 3, stdout: '' });
    expect(stripped.stderr).toContain(
      'it has no symbol table: it was stripped (--vmlinux reads the kallsyms',
    );
  });

  test('shows the instruction that a store to text changes, and which the hypervisor keeps', async () => {
    const args = ['protect', KASLR, '--vmlinux', vmlinux(OWN), '--json'];
    const { image, attacks } = JSON.parse((await runCommand(args)).stdout);
    expect(image).toBe(`vmlinux-${OWN}-true`);
    const push = { bytes: '55', code: 'push rbp' };
    const va = `0x${text.toString(16)}`;
    expect(attacks.find(({ name }: { name: string }) => name === 'store-text-after-pte-edit')).toMatchObject({
      target: { va, place: { region: 'kernel text', symbol: { name: '_text', offset: '0x0' } } },
      without: {
        outcome: 'succeeded',
        bytes: { va, from: 'image', before: push, after: { bytes: '90', code: 'nop' } },
      },
      with: { outcome: 'blocked', bytes: { va, from: 'image', before: push, after: push } },
    });
    // The data of an image are not the guest's.
    expect(attacks.find(({ name }: { name: string }) => name === 'store-data').with.bytes).toBeNull();
  });

  test('is not laid over a dump that lacks page tables: it could stand for them', async () => {
    const core = coreBytes('k61-256-kaslr');
    const { tables } = JSON.parse((await runCommand(['walk', KASLR, '--json'])).stdout);
    const [, root = 0] = pagesOf(core).find(([address]) => address === Number(tables.root)) ?? [];
    // A slot of the root that nothing uses.
    core.writeBigUInt64LE(0x777_7063n, root + 300 * 8);
    const path = join(scratch, 'lacking.elf');
    writeFileSync(path, core);
    const refused = await runCommand(['protect', path, '--vmlinux', vmlinux(OWN)]);
    expect(refused).toMatchObject({ exitCode: 3, stdout: '' });
    expect(refused.stderr).toContain('lacks page tables of the kernel');
  });

  test('gives the same through the direct map, and nothing where the image has none', async () => {
    const image = vmlinux(OWN);
    const { tables, outcome } = JSON.parse(
      (await runCommand(['translate', KASLR, text.toString(16), '--json'])).stdout,
    );
    const alias = (BigInt(tables.directMap) + BigInt(outcome.gpa)).toString(16);
    const read = async (address: string) =>
      JSON.parse((await runCommand(['read', KASLR, address, '16', '--vmlinux', image, '--json'])).stdout)
        .stretches[0];
    expect((await read(alias)).bytes).toBe((await read(text.toString(16))).bytes);
    expect(await read((text + 0x1000n).toString(16))).toMatchObject({ from: null, bytes: null });
  });

  test('is refused where nothing tells which kernel the guest runs', async () => {
    const alone = join(scratch, 'alone.elf.gz');
    copyFileSync(projectFile('fixtures/foreign/k61-pti-user-no-vmcoreinfo.elf.gz'), alone);
    const refused = await runCommand(['symbols', alone, '_text', '--vmlinux', vmlinux(OWN)]);
    expect(refused).toMatchObject({ exitCode: 3, stdout: '' });
    expect(refused.stderr).toContain('nothing tells which Linux the snapshot is of');
  });

  test('does not stand where the guest has its own', async () => {
    const real = projectFile('fixtures/symbols/k61-symbols.elf.gz');
    const { stretches } = JSON.parse(
      (await runCommand(['read', real, 'modules', '16', '--vmlinux', vmlinux(OWN), '--json'])).stdout,
    );
    expect(stretches[0]).toMatchObject({ from: 'guest' });
  });

  test.each([
    [
      () => vmlinux('6.1.0-57-cloud-amd64'),
      'the image is of Linux 6.1.0-57-cloud-amd64, the snapshot of 6.1.0-56-cloud-amd64',
    ],
    [() => vmlinux(OWN, false), 'no table of relocations, and KASLR moved the kernel'],
    [
      () => projectFile('package.json'),
      'not a kernel image: expected vmlinux, a bzImage (vmlinuz), or a Debian package of a kernel',
    ],
    [() => join(scratch, 'none'), 'no such file'],
  ])('that cannot be is refused (%#)', async (path, why) => {
    const refused = await runCommand(['read', KASLR, text.toString(16), '--vmlinux', path()]);
    expect(refused).toMatchObject({ exitCode: 3, stdout: '' });
    expect(refused.stderr).toContain(why);
  });
});

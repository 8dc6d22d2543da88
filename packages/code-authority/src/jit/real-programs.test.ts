import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { acceptProgram } from './accept-program.ts';

/** What the JIT of a Debian kernel made, out of its memory. */
interface JitFixture {
  /** By name: all that programs lead to. */
  readonly thisCpuOff: string;
  readonly functions: Readonly<Record<string, string>>;
  readonly programs: readonly { readonly name: string; readonly address: string; readonly bytes: string }[];
}

const FIXTURES = new URL('../../../../fixtures/jit/', import.meta.url);
const SECRET = { secret: new Uint8Array(32), chain: new Uint8Array(32) };

/** What a program may call: of the kernel's, all that the fixture's programs do, but for thunks of indirect branches. */
function aroundOf({ thisCpuOff, functions, programs }: JitFixture) {
  const isHelper = ([name]: readonly [string, string]): boolean => !name.startsWith('__x86_indirect_');
  const helpers = Object.entries(functions).filter(isHelper);
  return {
    helpers: new Set(helpers.map(([, address]) => BigInt(`0x${address}`))),
    programs: new Set(programs.map(({ address }) => BigInt(`0x${address}`))),
    ownOffset: Number(`0x${thisCpuOff}`),
  };
}

/** Names of the programs that are refused, by why. */
function refused(fixture: JitFixture): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  const around = aroundOf(fixture);
  for (const { name, address, bytes } of fixture.programs) {
    const code = new Uint8Array(Buffer.from(bytes, 'base64'));
    const why = acceptProgram(code, BigInt(`0x${address}`), around, SECRET);
    if (why === undefined) continue;
    const kind = why.replace(/^offset 0x[0-9a-f]+: /, '').replace(/displacement of -?\d+/, 'displacement');
    found[kind] = [...(found[kind] ?? []), name.replace(/^bpf_prog_[0-9a-f]{16}_/, '')];
  }
  return found;
}

/** Of kernels that blind constants; `ptp_classifier`, which boot makes, is older than the command that says so. */
const HARDENED: Readonly<Record<string, unknown>> = {
  'k61-jit-hardened': {
    programs: 82,
    refused: {
      'a constant that is not blinded': ['classic filter'],
      'a displacement: expected -512 to 4095': ['probe_exit', 'probe_exit'],
      'it does not begin with a frame': ['tail_call', 'tail_call_none', 'tail_call_any', 'first'],
      // A function that ends in a tail call; the address of one that is called back.
      'an index register': ['second'],
      'opcode be': ['first'],
    },
  },
  'k612-jit-hardened': {
    programs: 85,
    refused: {
      'a constant that is not blinded': ['classic filter', 'first'],
      'a displacement: expected -512 to 4095': ['probe_exit', 'probe_exit'],
      'it does not begin with a frame': ['tail_call', 'tail_call_none', 'tail_call_any', 'first'],
      'opcode 83 with another kind of operand': ['second'],
      'opcode bc': ['arena'],
      // The distance to a helper holds 0f 34, by KASLR's luck.
      'the bytes of a privileged instruction': ['percpu_hash'],
    },
  },
};

function read(name: string): JitFixture {
  return JSON.parse(gunzipSync(readFileSync(new URL(`${name}.json.gz`, FIXTURES))).toString());
}

test.each(Object.keys(HARDENED))('of %s the owner refuses what its page says', (name) => {
  const fixture = read(name);
  expect({ programs: fixture.programs.length, refused: refused(fixture) }).toEqual(HARDENED[name]);
});

test('without blinding most are refused, by their constants', () => {
  const fixture = read('k61-jit');
  const found = refused(fixture);
  const byConstants = Object.keys(found).filter((why) => /not blinded|opcode (b[8-f]|c6)/.test(why));
  const count = byConstants.reduce((sum, why) => sum + (found[why]?.length ?? 0), 0);
  expect([fixture.programs.length, count]).toEqual([82, 48]);
});

import { hex } from '@heki/physical-memory';
import { decodeJit, type JitInstruction } from './decode.ts';

/** A constant in two halves, `mov r10, a` and `xor r10, b`: the value is a XOR b, whatever the halves are. */
export interface BlindedConstant {
  /** Where the four bytes of each half stand. */
  readonly halves: readonly [number, number];
  /** Bit 31 has to stay: one half is sign-extended and the other is not. */
  readonly keepsSign: boolean;
}

/** What a program may refer to beside itself. */
export interface Surroundings {
  /** Functions of the kernel, which it calls, or jumps to at its end. */
  readonly helpers: ReadonlySet<bigint>;
  /** Where other programs begin, which it calls. */
  readonly programs: ReadonlySet<bigint>;
  /** Where a processor's own data has the offset of it, which may be added: `this_cpu_off`. */
  readonly ownOffset?: number | undefined;
}

/** What of a program that passes its owner writes anew. */
export interface Rewritten {
  readonly constants: readonly BlindedConstant[];
  /** Where ENDBR64 stands behind the frame. */
  readonly landings: readonly number[];
  /** Where the frame ends. Before it there is nothing but whole no-ops, ENDBR64 among them, and the frame. */
  readonly body: number;
}

/** That, or why a program does not pass. */
export type Judged = ({ readonly ok: true } & Rewritten) | { readonly ok: false; readonly why: string };

/**
 * Whether `code`, at `address`, is what the JIT of a kernel emits. It is decoded from its first byte to its last, and each rule holds for all of it:
 *
 * - Only instructions of the grammar (`decodeJit`): none is privileged, none is an indirect branch, none moves the stack or frame pointer but those of a frame.
 * - It begins with a frame, after no-ops alone, and goes only directly after LEAVE: by RET, or by a jump to a helper. It does not run out at its end.
 * - Branches lead to instructions of its own behind the frame, never between two that belong together; calls lead to helpers, or
 *   to where other programs begin.
 * - Of per-CPU data it reads one place, the offset of it.
 * - A constant of more than a byte comes in two halves.
 */
export function judgeProgram(
  code: Uint8Array,
  address: bigint,
  { helpers, programs, ownOffset }: Surroundings,
): Judged {
  const constants: BlindedConstant[] = [];
  const landings: number[] = [];
  let body = 0;
  /** Where a branch may lead. */
  const starts = new Set<number>();
  const branches: { readonly from: number; readonly to: number }[] = [];
  let before: JitInstruction | undefined;
  let frame: 'none' | 'pushed' | 'made' = 'none';
  for (let at = 0; at < code.length; ) {
    const bad = (what: string): Judged => ({ ok: false, why: `offset ${hex(at)}: ${what}` });
    const decoded = decodeJit(code, at);
    if (typeof decoded === 'string') return bad(decoded);
    const end = at + decoded.length;
    if (end > code.length) return bad('it ends within an instruction');
    if (frame !== 'made') {
      const expected = frame === 'none' ? 'push-frame' : 'set-frame';
      if (decoded.does === expected) frame = frame === 'none' ? 'pushed' : 'made';
      else if (frame === 'pushed' || (decoded.does !== 'nothing' && decoded.does !== 'landing'))
        return bad('it does not begin with a frame');
      at = end;
      body = end;
      before = decoded;
      continue;
    }
    let isPart = false;
    switch (decoded.does) {
      case 'push-frame':
      case 'set-frame':
        return bad('a second frame');
      case 'landing':
        landings.push(at);
        break;
      case 'trap':
        if (!isEnd(before)) return bad('int3 that is not behind an end');
        // What follows it is still behind an end.
        at = end;
        continue;
      case 'return':
        if (before?.does !== 'leave') return bad('RET without LEAVE before it');
        isPart = true;
        break;
      case 'call': {
        const target = wrapped(address, end + decoded.distance);
        if (!helpers.has(target) && !programs.has(target))
          return bad('a call to what is no helper, and no program');
        break;
      }
      case 'add-own':
        if (decoded.displacement !== ownOffset) return bad('an address in per-CPU data');
        break;
      case 'jump':
        isPart = before?.does === 'leave';
        if (!isPart) branches.push({ from: at, to: end + decoded.distance });
        else if (!helpers.has(wrapped(address, end + decoded.distance)))
          return bad('a jump to what is no helper');
        break;
      case 'branch':
        branches.push({ from: at, to: end + decoded.distance });
        break;
      case 'unblind':
        isPart = before?.does === 'constant';
        if (before?.does === 'constant')
          constants.push({ halves: [at - 4, end - 4], keepsSign: decoded.wide !== before.wide });
        else if (!decoded.small) return bad('a constant that is not blinded');
        break;
      default:
    }
    if (before?.does === 'constant' && !before.small && decoded.does !== 'unblind')
      return bad('a constant before it that is not blinded');
    if (before?.does === 'leave' && !isPart) return bad('LEAVE that nothing ends');
    if (!isPart) starts.add(at);
    at = end;
    before = decoded;
  }
  if (frame !== 'made' || !isEnd(before)) return { ok: false, why: 'it does not end where its bytes do' };
  const stray = branches.find(({ to }) => !starts.has(to));
  if (stray !== undefined)
    return { ok: false, why: `offset ${hex(stray.from)}: a branch to ${stray.to}, where none may lead` };
  return { ok: true, constants, landings, body };
}

/** Whether nothing behind an instruction is reached by it. */
function isEnd(instruction: JitInstruction | undefined): boolean {
  return instruction?.does === 'return' || instruction?.does === 'jump';
}

function wrapped(address: bigint, offset: number): bigint {
  return BigInt.asUintN(64, address + BigInt(offset));
}

/** Where the calls of a program that was accepted lead. */
export function callsOf(code: Uint8Array, address: bigint): Set<bigint> {
  const found = new Set<bigint>();
  for (let at = 0; at < code.length; ) {
    const decoded = decodeJit(code, at);
    if (typeof decoded === 'string') break;
    at += decoded.length;
    if (decoded.does === 'call') found.add(wrapped(address, at + decoded.distance));
  }
  return found;
}

import type { RanCode } from '@heki/machine';
import { addressOf, type Gfn, type Gpa, hex, readBytes, type VirtualAddress } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import { MARK } from '../kernel/functions.ts';
import { frameBehind, type KernelTables } from './frame-behind.ts';

/** What an attacker is after. An attack names it before it begins; whether he got it is seen afterwards, in memory and in what ran. */
export interface Aims {
  /** `length` bytes that the kernel has at `va` now get other values, wherever `va` leads later. */
  bytes(what: string, va: VirtualAddress, length?: number): void;
  /** The attacker's code runs, at CPL 0 unless said, and leaves what he wants in RAX. */
  code(cpl?: 0 | 3, rax?: bigint): void;
  /** Calling `va`, the kernel gets another result than now, or comes to other code. @throws {NotExpressible} when it gets none now */
  result(what: string, va: VirtualAddress): void;
  /** A register, or a place in memory, that `read` reads gets another value. @throws {NotExpressible} when it cannot be read now */
  register(what: string, read: () => bigint | undefined): void;
  /** The call of a function of the kernel that the attacker has no right to call: `va` runs, as code that the attacker called. */
  reached(what: string, va: VirtualAddress): void;
  /** The kernel goes on at an address that is not its own. */
  hijack(): void;
  /** The host comes to harm: what published code would have done there, had the model not ended the call. */
  host(): void;
  /** Work that the kernel can do is refused to it afterwards. @throws {NotExpressible} when it cannot do it before */
  work(what: string, works: () => boolean): void;
}

/** Looks whether an aim was reached: evidence in one sentence, or nothing. */
type Look = () => string | undefined;

/** What aims look at. */
export interface Observed {
  readonly tables: () => KernelTables;
  /** Code that the attacker has had run. */
  readonly ran: readonly RanCode[];
  /** What the hypervisor reported that would have harmed its host. */
  readonly incidents: readonly string[];
  /** Addresses that functions of the kernel were led to. */
  readonly hijacked: readonly VirtualAddress[];
  /** Calls a function, as the kernel does, beside the attack: what ran, or `undefined` when an instruction could not be fetched. */
  call(va: VirtualAddress): RanCode | undefined;
}

/** Aims over what is observed, and their outcomes. */
export function createAims(observed: Observed): {
  readonly aims: Aims;
  evidence(): string[];
  /** Whether the functions whose results are aims can still be called. */
  works(): boolean;
  readonly named: number;
} {
  const { tables, ran, incidents, hijacked, call } = observed;
  const looks: Look[] = [];
  const called: VirtualAddress[] = [];
  const bytesAt = (gpa: Gpa, length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    readBytes(tables().memory, gpa, bytes);
    return bytes;
  };
  const ranMark = (cpl: 0 | 3, rax: bigint): RanCode | undefined =>
    ran.find((code) => code.cpl === cpl && code.rax === rax && code.instructions.length > 0);

  const aims: Aims = {
    bytes(what, va, length = 8) {
      const frame: Gfn | undefined = frameBehind(tables(), va);
      if (frame === undefined) throw new TypeError(`nothing is mapped at ${hex(va)}`);
      const gpa = (addressOf(frame) + Number(va % 4096n)) as Gpa;
      const before = bytesAt(gpa, length);
      looks.push(() => {
        const after = bytesAt(gpa, length);
        if (after.every((byte, index) => byte === before[index])) return undefined;
        return `${what} at guest-physical ${hex(gpa)} is ${hexBytes(after)}, and was ${hexBytes(before)}`;
      });
    },
    code(cpl = 0, rax = BigInt(MARK)) {
      looks.push(() => {
        const code = ranMark(cpl, rax);
        const at = code?.instructions.at(-1)?.address;
        if (code === undefined || at === undefined) return undefined;
        return `${code.instructions.map(({ bytes }) => hexBytes(bytes)).join('; ')} ran up to ${hex(at)} with CPL ${cpl}: RAX is ${hex(code.rax)}`;
      });
    },
    result(what, va) {
      const before = call(va);
      if (before?.end !== 'returned')
        throw new NotExpressible(`${what} does not come to its end here anyway`);
      called.push(va);
      looks.push(() => {
        const after = call(va);
        if (after === undefined || (after.end === 'returned' && after.rax === before.rax)) return undefined;
        const gave = `and gave ${hex(before.rax)}`;
        return after.end === 'returned'
          ? `${what} gives ${hex(after.rax)}, ${gave}`
          : `${what} comes to ${after.instructions.map(({ bytes }) => hexBytes(bytes)).join('; ')}, ${gave}`;
      });
    },
    register(what, read) {
      const before = read();
      if (before === undefined) throw new NotExpressible(`${what} cannot be read here anyway`);
      looks.push(() => {
        const after = read();
        return after === undefined || after === before
          ? undefined
          : `${what} is ${hex(after)}, and was ${hex(before)}`;
      });
    },
    reached(what, va) {
      looks.push(() => {
        const code = ran.find(({ instructions }) => instructions.some(({ address }) => address === va));
        return code === undefined ? undefined : `${what} ran at ${hex(va)}: RAX is ${hex(code.rax)}`;
      });
    },
    hijack() {
      looks.push(() => {
        const [address] = hijacked;
        return address === undefined
          ? undefined
          : `the kernel called ${hex(address)} through a pointer of its own`;
      });
    },
    host() {
      looks.push(() => incidents[0]);
    },
    work(what, works) {
      if (!works()) throw new NotExpressible(`the kernel cannot do this here anyway: ${what}`);
      looks.push(() => (works() ? undefined : `${what}: refused from now on`));
    },
  };
  return {
    aims,
    evidence: () => looks.map((look) => look()).filter((text) => text !== undefined),
    works: () => called.every((va) => call(va) !== undefined),
    get named() {
      return looks.length;
    },
  };
}

const hexBytes = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

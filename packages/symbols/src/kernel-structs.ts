import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import type { Btf } from './btf/btf.ts';

/** A structure of the kernel's type in memory, whose members are read by name. */
export interface KernelStruct {
  readonly address: VirtualAddress;
  /** A 64-bit member: a pointer, mostly. */
  pointer(name: string): VirtualAddress | undefined;
  /** A 32-bit member. */
  uint(name: string): number | undefined;
  /** An array of letters, up to its zero. */
  text(name: string): string | undefined;
  /** A structure within. */
  struct(name: string): KernelStruct | undefined;
  /** Structures within, in an array. */
  structs(name: string): KernelStruct[];
}

class TypedBytes implements KernelStruct {
  readonly address: VirtualAddress;
  readonly #btf: Btf;
  readonly #type: number;
  readonly #bytes: DataView;

  constructor(btf: Btf, type: number, address: VirtualAddress, bytes: DataView) {
    this.#btf = btf;
    this.#type = type;
    this.address = address;
    this.#bytes = bytes;
  }

  pointer(name: string): VirtualAddress | undefined {
    const at = this.#at(name, 8);
    return at === undefined ? undefined : virtualAddress(this.#bytes.getBigUint64(at, true));
  }

  uint(name: string): number | undefined {
    const at = this.#at(name, 4);
    return at === undefined ? undefined : this.#bytes.getUint32(at, true);
  }

  text(name: string): string | undefined {
    const member = this.#btf.member(this.#type, name);
    const count = member === undefined ? undefined : this.#btf.array(member.type)?.count;
    if (member === undefined || count === undefined || member.offset + count > this.#bytes.byteLength)
      return undefined;
    return printableText(new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + member.offset, count));
  }

  struct(name: string): KernelStruct | undefined {
    const member = this.#btf.member(this.#type, name);
    return member === undefined ? undefined : this.#inner(member.type, member.offset);
  }

  structs(name: string): KernelStruct[] {
    const member = this.#btf.member(this.#type, name);
    const array = member === undefined ? undefined : this.#btf.array(member.type);
    const size = array === undefined ? undefined : this.#btf.size(array.element);
    if (member === undefined || array === undefined || size === undefined || size === 0) return [];
    const fitting = Math.min(array.count, Math.floor((this.#bytes.byteLength - member.offset) / size));
    return Array.from({ length: Math.max(fitting, 0) }, (_, index) =>
      this.#inner(array.element, member.offset + index * size),
    ).filter((one) => one !== undefined);
  }

  #inner(type: number, offset: number): KernelStruct | undefined {
    const size = this.#btf.size(type);
    if (size === undefined || offset + size > this.#bytes.byteLength) return undefined;
    const bytes = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + offset, size);
    return new TypedBytes(this.#btf, type, virtualAddress(this.address + BigInt(offset)), bytes);
  }

  #at(name: string, size: number): number | undefined {
    const member = this.#btf.member(this.#type, name);
    return member === undefined || member.offset + size > this.#bytes.byteLength ? undefined : member.offset;
  }
}

/** The largest structure that is read. */
const LARGEST = 2 ** 16;

/** Reads structures of a kernel out of its memory. */
export type KernelStructs = Pick<StructReader, keyof StructReader>;

/** Reads structures of the types that `btf` describes out of `memory`. */
export function createKernelStructs(memory: VirtualMemory, btf: Btf): KernelStructs {
  return new StructReader(memory, btf);
}

class StructReader {
  readonly #memory: VirtualMemory;
  readonly #btf: Btf;
  readonly #types = new Map<string, number | undefined>();

  constructor(memory: VirtualMemory, btf: Btf) {
    this.#memory = memory;
    this.#btf = btf;
  }

  /** The structure of type `name` at `address`; `undefined` where there is no such type, or not all of it is held. */
  read(name: string, address: VirtualAddress): KernelStruct | undefined {
    const type = this.#type(name);
    const size = type === undefined ? undefined : this.#btf.size(type);
    if (type === undefined || size === undefined || size > LARGEST) return undefined;
    const bytes = this.#memory.read(address, size);
    return bytes === undefined
      ? undefined
      : new TypedBytes(this.#btf, type, address, new DataView(bytes.buffer));
  }

  size(name: string): number | undefined {
    const type = this.#type(name);
    return type === undefined ? undefined : this.#btf.size(type);
  }

  /** Where a member is in a structure. */
  offset(name: string, member: string): number | undefined {
    const type = this.#type(name);
    return type === undefined ? undefined : this.#btf.member(type, member)?.offset;
  }

  enumeration(name: string): Map<string, number> {
    return this.#btf.enumeration(name);
  }

  /**
   * The structures of type `name` in the list whose head is at `head`, linked by `member`. It ends where the list leads to what is not
   * held, to where it was, or beyond `limit`; `stoppedAt` is where, unless it came back to its head.
   */
  list(
    name: string,
    member: string,
    head: VirtualAddress,
    limit: number,
  ): { readonly all: KernelStruct[]; readonly stoppedAt: VirtualAddress | undefined } {
    const offset = this.offset(name, member);
    const all: KernelStruct[] = [];
    const seen = new Set<bigint>([head]);
    let last = head;
    let next = this.pointer(head);
    while (
      offset !== undefined &&
      next !== undefined &&
      next !== head &&
      !seen.has(next) &&
      all.length < limit
    ) {
      seen.add(next);
      const at = next - BigInt(offset);
      const struct = at < 0n ? undefined : this.read(name, virtualAddress(at));
      if (struct === undefined) break;
      all.push(struct);
      last = next;
      next = this.pointer(next);
    }
    return { all, stoppedAt: next === head ? undefined : (next ?? last) };
  }

  #type(name: string): number | undefined {
    if (!this.#types.has(name)) this.#types.set(name, this.#btf.struct(name));
    return this.#types.get(name);
  }

  pointer(address: VirtualAddress): VirtualAddress | undefined {
    const bytes = this.#memory.read(address, 8);
    return bytes === undefined ? undefined : virtualAddress(new DataView(bytes.buffer).getBigUint64(0, true));
  }

  /** The text at `address`, up to its zero, of at most `limit` bytes. */
  text(address: VirtualAddress, limit: number): string | undefined {
    // To the end of the page first: behind it nothing need be mapped.
    const inPage = Math.min(limit, 4096 - Number(address % 4096n));
    const first = this.#memory.read(address, inPage);
    if (first === undefined) return undefined;
    if (first.includes(0) || inPage === limit) return printableText(first);
    const all = this.#memory.read(address, limit);
    return all === undefined ? undefined : printableText(all);
  }

  bytes(address: VirtualAddress, length: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#memory.read(address, length);
  }
}

/** The letters before a zero; what does not print as `\x1b`. */
export function printableText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  let text = '';
  for (const byte of end < 0 ? bytes : bytes.subarray(0, end)) {
    text +=
      byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

import type { ImageAddress } from '../image-view.ts';
import { branchTarget, int32 } from '../instructions.ts';
import type { PatchSite } from '../patch-site.ts';
import { branch } from './branch.ts';
import { has } from './features.ts';
import { fillNops } from './nops.ts';
import type { TextBuilder } from './text-builder.ts';
import { decodeInstruction } from './x86-instruction.ts';

const [CALL, JMP32, JMP8, INT3, NOP] = [0xe8, 0xe9, 0xeb, 0xcc, 0x90];

/** apply_alternatives: entry by entry, each over what those before it have left. */
export function applyAlternatives(builder: TextBuilder, sites: readonly PatchSite[]): void {
  const sizes = sites.map(({ size }) => size);
  for (const [index, site] of sites.entries()) {
    // Nested ones follow each other: all of them are as long as the longest.
    if (builder.style.movesAll) {
      for (let next = index + 1; sites[next]?.at === site.at; next++) {
        const longest = Math.max(sizes[index] ?? 0, sizes[next] ?? 0);
        sizes[index] = longest;
        sizes[next] = longest;
      }
    }
    apply(builder, { ...site, size: sizes[index] ?? site.size });
  }
}

function apply(builder: TextBuilder, site: PatchSite): void {
  const { at, size, other = 0, otherSize = 0, feature = 0, inverted = false } = site;
  const now = builder.bytes(at, size);
  const replacement = builder.bytes(other, otherSize);
  if (now === undefined || replacement === undefined) return;
  const code = now.slice();
  if (has(builder.vector.capabilities, feature) !== inverted) {
    code.fill(NOP, otherSize);
    code.set(replacement);
    if (site.isDirectCall === true) {
      const to = directCall(builder, now, at);
      if (to === undefined) return;
      code.fill(NOP, to.length);
      code.set(to);
    } else if (builder.style.movesAll) move(code, at, other, otherSize);
    else moveBranch(code, at, replacement, other, builder);
  }
  optimizeNops(code, builder);
  builder.write(at, code);
}

/** ALT_FLAG_DIRECT_CALL: a call through a pointer becomes one of what the pointer has (alt_replace_call). */
function directCall(
  { vector, symbol }: TextBuilder,
  now: Uint8Array,
  at: ImageAddress,
): number[] | undefined {
  const slot = now[1] === 0x15 ? at + 6 + int32(now, 2) : int32(now, 3);
  const target = vector.pointers.get(slot);
  if (target === undefined) return undefined;
  if (target === symbol('nop_func')) return [];
  return branch(CALL, at, target === 0 ? (symbol('BUG_func') ?? 0) : target);
}

/** Everything relative in a replacement leads to where it led before (apply_relocation), and jumps become as short as they can be. */
function move(code: Uint8Array, at: ImageAddress, from: ImageAddress, length: number): void {
  const by = from - at;
  const view = new DataView(code.buffer);
  for (let place = 0; place < code.length; ) {
    const instruction = decodeInstruction(code, place);
    if (instruction === undefined) return;
    const next = place + instruction.length;
    const { branch: distance, relative, opcode } = instruction;
    if (distance !== undefined) {
      const field = place + distance.offset;
      const value = distance.size === 1 ? view.getInt8(field) : view.getInt32(field, true);
      if (leadsOut(next + value, length)) {
        if (distance.size === 1) view.setInt8(field, value + by);
        else view.setInt32(field, value + by, true);
      }
      const short = value + by + 3;
      if (opcode === JMP32 && short >= -128 && short <= 127) {
        code[place] = JMP8;
        view.setInt8(place + 1, short);
        code.fill(INT3, place + 2, next);
      }
    }
    if (relative !== undefined && leadsOut(next + view.getInt32(place + relative, true), length))
      view.setInt32(place + relative, view.getInt32(place + relative, true) + by, true);
    place = next;
  }
}

function leadsOut(target: number, length: number): boolean {
  return target < 0 || target > length;
}

/** To Linux 6.4 a branch of 5 bytes at the beginning alone is moved (recompute_jump). */
function moveBranch(
  code: Uint8Array,
  at: ImageAddress,
  replacement: Uint8Array,
  from: ImageAddress,
  builder: TextBuilder,
): void {
  const target = branchTarget(replacement, from);
  if (replacement.length !== 5 || target === undefined) return;
  if (replacement[0] === CALL) code.set(branch(CALL, at, target));
  if (replacement[0] !== JMP32) return;
  const short = target - at - 2;
  if (short >= 0 ? short <= 127 : false) {
    code.set([JMP8, short & 255]);
    fillNops(code, 2, 5, builder.style.nops);
  } else code.set(branch(JMP32, at, target));
}

/** optimize_nops: neighbouring NOPs become long ones. */
function optimizeNops(code: Uint8Array, { style }: TextBuilder): void {
  for (let place = 0; place < code.length; ) {
    const instruction = decodeInstruction(code, place);
    if (instruction === undefined) return;
    let end = place + instruction.length;
    if (isNop(code, place, instruction.opcode, style.movesAll)) {
      if (style.movesAll && end === code.length) return;
      for (let more = end; more < code.length; ) {
        const following = decodeInstruction(code, more);
        if (following === undefined || !isNop(code, more, following.opcode, style.movesAll)) break;
        more += following.length;
        end = more;
      }
      fillNops(code, place, end, style.nops);
    }
    place = end;
  }
}

/** NOP, and since Linux 6.5 NOPL; not PAUSE. */
function isNop(code: Uint8Array, at: number, opcode: number, isNew: boolean): boolean {
  if (!isNew) return code[at] === NOP;
  return (opcode === NOP && code[at] !== 0xf3) || opcode === 0x0f1f;
}

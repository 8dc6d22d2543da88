import { branchTarget } from '../instructions.ts';
import type { PatchSite } from '../patch-site.ts';
import { FEATURES, has } from './features.ts';
import { fillNops } from './nops.ts';
import type { TextBuilder } from './text-builder.ts';

const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const THUNK = /^__x86_indirect_(?:(call|jump)_)?thunk_(r\w+)$/;
const [CALL, INT3, CS] = [0xe8, 0xcc, 0x2e];

/** patch_retpoline: stays where the processor needs it, else becomes the branch through a register that it stands for, behind LFENCE on some. */
export function rewriteRetpoline(builder: TextBuilder, { at, size }: PatchSite): void {
  const { capabilities } = builder.vector;
  const isFenced = has(capabilities, FEATURES.RETPOLINE_LFENCE);
  if (has(capabilities, FEATURES.RETPOLINE) && !isFenced) return;
  const now = builder.bytes(at, size);
  const target = now && branchTarget(now, at);
  const names = target === undefined ? [] : builder.image.symbols.at(target);
  const register = REGISTERS.indexOf(
    names.map((name) => THUNK.exec(name)?.[2]).find((name) => name !== undefined) ?? '',
  );
  if (now === undefined || register < 0) return;
  const bytes: number[] = [];
  const start = now[0] === CS ? 1 : 0;
  const isConditional = now[0] === 0x0f;
  const isCall = !isConditional && now[start] === CALL;
  if (isConditional) bytes.push(((now[1] ?? 0) & 0x0f) ^ 0x71, 0);
  if (isFenced) bytes.push(0x0f, 0xae, 0xe8);
  if (register >= 8) bytes.push(0x41);
  bytes.push(0xff, (isCall ? 0xd0 : 0xe0) + (register & 7));
  if (!isCall && bytes.length < size) bytes.push(INT3);
  if (isConditional) bytes[1] = size - 2;
  const code = new Uint8Array(size);
  code.set(bytes);
  fillNops(code, bytes.length, size, builder.style.nops);
  builder.write(at, code);
}

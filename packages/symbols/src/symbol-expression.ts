/** What people write for an address: a symbol, with how far behind it, and the module that it is of. */
export interface SymbolExpression {
  readonly name: string;
  readonly offset: bigint;
  readonly module: string | undefined;
}

/** `vfs_read+0x10/0x1b0 [xfs]`, as an oops has it; what stands behind the slash is the length of the function. */
const EXPRESSION =
  /^(?:([\w-]+):)?([^\s+:[\]]+?)(?:([+-])(0x[0-9a-f]{1,16}|[0-9]{1,20})(?:\/0x[0-9a-f]+)?)?(?:\s+\[([\w-]+)\])?$/i;

/**
 * `NAME`, `NAME+OFFSET`, `NAME-OFFSET`, with `MODULE:` before or ` [MODULE]` behind; an offset is decimal, or hexadecimal with 0x.
 * `undefined` when `text` is not one.
 */
export function parseSymbolExpression(text: string): SymbolExpression | undefined {
  const match = EXPRESSION.exec(text.trim());
  if (match === null) return undefined;
  const [, before, name = '', sign, amount = '0', behind] = match;
  const offset = BigInt(amount);
  return { name, offset: sign === '-' ? -offset : offset, module: before ?? behind };
}

import { fault, type HvDecoded } from './error.ts';

/** HV_INPUT_VTL has a number in bits 3:0, which counts only with bit 4. */
const USE_TARGET = 0x10;
const HIGHEST_VTL = 2;

/** Writes a VTL, or with `undefined` that of the caller. */
export function writeInputVtl(view: DataView, at: number, vtl: number | undefined): void {
  view.setUint8(at, vtl === undefined ? 0 : (vtl & 0xf) | USE_TARGET);
}

/** Reads a VTL, 0 to 2; `undefined`: the caller's own. */
export function readInputVtl(view: DataView, at: number): HvDecoded<number | undefined> {
  const byte = view.getUint8(at);
  if ((byte & 0xe0) !== 0) return fault('input VTL', byte, 'bits 4:0 only');
  const vtl = byte & 0xf;
  if ((byte & USE_TARGET) === 0) return { ok: true, message: undefined };
  return vtl > HIGHEST_VTL ? fault('input VTL', vtl, `0 to ${HIGHEST_VTL}`) : { ok: true, message: vtl };
}

import { DEBIAN_6_1 } from '@heki/linux';
import { splitSignature } from '@heki/module-signature';
import { describe, expect, it } from 'vitest';
import { createCodeSigner } from './code-signer.ts';

const image = {
  name: 'träger',
  memory: { text: Uint8Array.of(0xc3, 0x0a, 0xcc), rodata: Uint8Array.of(1) },
  sites: { lockPrefixes: [1] },
};
const { code, file } = createCodeSigner(DEBIAN_6_1);

describe('a distributor', () => {
  it('signs a module whose file says all of what the owner has to know', () => {
    const read = code.readImage(file(image));
    expect(read?.name).toBe('träger');
    expect(read?.parts.map(({ kind, bytes }) => `${kind} ${bytes.slice(0, 3).join(' ')}`)).toEqual([
      'text 195 10 204',
      'rodata 1 0 0',
    ]);
    expect(read?.sites).toMatchObject([{ kind: 'lock', at: { part: 0, offset: 1 } }]);
  });

  it('vouches for no file without a signature, and for none that was changed since', () => {
    expect(code.readImage(file({ ...image, signed: false }))).toBeUndefined();
    const signed = file(image);
    const parts = splitSignature(signed);
    expect(parts.ok && code.readImage(parts.content)).toBeUndefined();
    signed[parts.ok ? parts.content.length - 1 : 0] = 2;
    expect(code.readImage(signed)).toBeUndefined();
  });

  it('vouches no more for a module that was withdrawn, and for another version of it', () => {
    const { readImage } = createCodeSigner(DEBIAN_6_1, { withdrawn: [image] }).code;
    const mended = { ...image, memory: { ...image.memory, rodata: Uint8Array.of(2) } };
    expect([readImage(file(image)), readImage(file(mended))?.name]).toEqual([undefined, 'träger']);
  });

  it('vouches for what the same distributor signed in another boot, without having seen it', () => {
    expect(createCodeSigner(DEBIAN_6_1).code.readImage(file(image))?.name).toBe('träger');
  });
});

/** What Linux expects at the very end of a signed module (MODULE_SIG_STRING, include/linux/module_signature.h). */
const MAGIC = Uint8Array.from('~Module signature appended~\n', (letter) => letter.charCodeAt(0));
/** struct module_signature: algo, hash, id_type, signer_len, key_id_len, three bytes of padding, be32 sig_len. */
const TRAILER_BYTES = 12;
const ID_TYPE = 2;
const SIGNATURE_LENGTH = 8;
/** PKEY_ID_PKCS7: all else is in the message. */
const PKCS7 = 2;
/** Of an RSA key of 8192 bits with room to spare: sign-file puts no certificates in. */
const LARGEST_MESSAGE = 2 ** 14;

/** A file with a signature behind it, taken apart; or why it is none. */
export type AppendedSignature =
  | {
      readonly ok: true;
      /** What is signed: a view of the file. */
      readonly content: Uint8Array;
      /** The PKCS#7 message, DER: a view of the file. */
      readonly message: Uint8Array;
    }
  | { readonly ok: false; readonly why: 'unsigned' | 'malformed' | 'unsupported'; readonly text: string };

/** Takes content and signature apart (module_sig_check and mod_check_sig). */
export function splitSignature(file: Uint8Array): AppendedSignature {
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.length);
  const end = bytes.length - MAGIC.length;
  if (end < 0 || !MAGIC.every((byte, index) => bytes[end + index] === byte))
    return { ok: false, why: 'unsigned', text: 'no signature at the end of the file' };
  const at = end - TRAILER_BYTES;
  if (at < 0) return malformed('the file ends before what says how long its signature is');
  const trailer = new DataView(bytes.buffer, bytes.byteOffset + at, TRAILER_BYTES);
  const type = trailer.getUint8(ID_TYPE);
  if (type !== PKCS7)
    return { ok: false, why: 'unsupported', text: `signature of type ${type}: expected 2, PKCS#7` };
  for (let index = 0; index < SIGNATURE_LENGTH; index++) {
    if (index !== ID_TYPE && trailer.getUint8(index) !== 0)
      return malformed(`byte ${index} before the end mark is ${trailer.getUint8(index)}: expected 0`);
  }
  const length = trailer.getUint32(SIGNATURE_LENGTH);
  if (length >= at || length > LARGEST_MESSAGE)
    return malformed(`its signature has ${length} bytes: expected at most ${Math.min(at, LARGEST_MESSAGE)}`);
  return { ok: true, content: bytes.subarray(0, at - length), message: bytes.subarray(at - length, at) };
}

/** `content` with the signature behind it, as scripts/sign-file writes it. */
export function appendSignature(content: Uint8Array, message: Uint8Array): Uint8Array {
  const end = content.length + message.length;
  const file = new Uint8Array(end + TRAILER_BYTES + MAGIC.length);
  file.set(content);
  file.set(message, content.length);
  file[end + ID_TYPE] = PKCS7;
  new DataView(file.buffer).setUint32(end + SIGNATURE_LENGTH, message.length);
  file.set(MAGIC, end + TRAILER_BYTES);
  return file;
}

function malformed(text: string): AppendedSignature {
  return { ok: false, why: 'malformed', text };
}

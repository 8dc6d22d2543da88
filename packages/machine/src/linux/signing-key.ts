import { readCertificates, type SigningKey } from '@heki/module-signature';
import { hexToBytes } from '@noble/hashes/utils.js';

/** A certificate, in DER as OpenSSL made it, of the key that modules of the model are signed with: on P-256. */
const CERTIFICATE =
  '3082017f30820126a003020102021460688996b004eb55727e3d13a07d81f45537b398300a06082a8648ce3d0403023020311e301c06035504030c1554686520' +
  '6d6f64656c2773206275696c64206b65793020170d3236313132393133313335335a180f32313236313130353133313335335a3020311e301c06035504030c15' +
  '546865206d6f64656c2773206275696c64206b65793059301306072a8648ce3d020106082a8648ce3d03010703420004de9bfcd1266c6d1cf1852d8540126f8a' +
  '68d8d5bf303886806b8eb63e39f75686c4e138e1efff1522917dfa0e4a43a342062f907d09ac33d834837d85785b2166a33c303a300c0603551d130101ff0402' +
  '3000300b0603551d0f040403020780301d0603551d0e0416041453340790f5084c03e868f6a9474f7638592229ee300a06082a8648ce3d040302034700304402' +
  '203ffb27d2ec402693cac55ba97e4c2e2d2640fc580d6c459c98226592d46f52a00220375e54bceea8a33a4f723a6bd5ee6d015dc7bd71abdd6e5c0a93e4b116' +
  'a14e11';
const SECRET = 'a593f52cfb005961cca7a9d2652e353de6524237848d05402296fe12ac831746';

/** The key of a distributor in the model. That its secret is written here is what makes signatures the same each time. */
export function modelSigningKey(): SigningKey {
  const [certificate] = readCertificates(hexToBytes(CERTIFICATE));
  if (certificate === undefined) throw new RangeError('no certificate');
  return { certificate, secret: hexToBytes(SECRET) };
}

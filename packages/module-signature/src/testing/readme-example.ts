import { createECDH } from 'node:crypto';
import { createModuleVerifier, signModule, type TrustedCertificate } from '@heki/module-signature';

// A key on P-256 and what is known of it. Of a real kernel readCertificates() reads it out of system_certificate_list.
const secret = new Uint8Array(32).fill(7);
const pair = createECDH('prime256v1');
pair.setPrivateKey(secret);
const certificate: TrustedCertificate = {
  name: 'build key',
  issuerAndSerial: '',
  subjectKeyId: '0a0b0c0d',
  key: { kind: 'ecdsa', curve: 'p256', point: Uint8Array.from(pair.getPublicKey()) },
  tbsDigests: [],
};

const module = new TextEncoder().encode('the bytes of hello.ko');
const file = signModule(module, { certificate, secret });
const { verify } = createModuleVerifier({ certificates: [certificate] });
const show = (what: string, bytes: Uint8Array) => {
  const result = verify(bytes);
  const text = result.ok ? `${result.content.length} bytes, signed by ${result.signer.name}` : result.text;
  console.log(`${what}: ${text}`);
};

show('as it is', file);
show('one bit changed', file.with(0, 0x75));
show('not signed', module);
const blocked = createModuleVerifier({ certificates: [certificate], blocked: new Set(['0a0b0c0d']) });
console.log('withdrawn key:', blocked.verify(file).ok);

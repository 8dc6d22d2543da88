import { createModuleVerifier, readCertificates } from '@heki/module-signature';

function check(module: Uint8Array, builtIn: Uint8Array): string {
  const { verify } = createModuleVerifier({ certificates: readCertificates(builtIn) });
  const result = verify(module);
  return result.ok ? `signed by ${result.signer.name}, ${result.content.length} bytes` : result.text;
}
console.log(check(new Uint8Array(100), new Uint8Array()));

// Reads {jwks_url | secret, issuer, audience, tokens: [{token, good}]} and verifies each as a careful resource server
// does: keys from the JWKS by kid, issuer, audience, typ. Ends with 1 when a verdict is not the one expected.
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { text } from "node:stream/consumers";

const asked = JSON.parse(await text(process.stdin));
const keys = asked.jwks_url
  ? createRemoteJWKSet(new URL(asked.jwks_url))
  : Buffer.from(asked.secret, "base64");
const rules = { issuer: asked.issuer, audience: asked.audience, typ: "at+jwt" };
if (asked.now) rules.currentDate = new Date(asked.now * 1000);

let wrong = 0;
for (const { token, good } of asked.tokens) {
  let verdict = "good";
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, rules);
    const missing = ["sub", "sid", "sver", "jti", "iat", "exp"].filter((name) => !(name in payload));
    if (missing.length > 0) verdict = `no ${missing}`;
    console.log(protectedHeader.alg, verdict);
  } catch (refused) {
    verdict = `${refused.code}: ${refused.message}`;
  }
  if ((verdict === "good") !== good) {
    wrong += 1;
    console.error(`${JSON.stringify(decodeProtectedHeader(token))} expected ${good ? "good" : "refused"}: ${verdict}`);
  }
}
process.exit(wrong === 0 ? 0 : 1);

// caller.mjs METHOD PATH [BODY]: Node 18 or later, without packages.
import { createHash, createHmac } from "node:crypto";

const env = process.env;
const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** Returns the headers with which a request is sent. Its URL is written in full: %20 for a space, no raw +. */
function sign({ method, url, body = "", headers = {}, region, service, credentials }) {
  const { host, pathname, search } = new URL(url);
  const date = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const signed = { host, "x-amz-date": date };
  if (credentials.token) signed["x-amz-security-token"] = credentials.token;
  const names = Object.keys(signed).sort();
  const query = search.slice(1).split("&").filter(Boolean).map((item) => {
    const [name, ...value] = item.split("=");
    return [name, value.join("=")].map((part) => encode(decodeURIComponent(part)));
  }).sort(([a, b], [c, d]) => (a < c || (a === c && b < d) ? -1 : 1)).map((pair) => pair.join("=")).join("&");
  const canonical = [method, pathname.split("/").map(encode).join("/"), query,
    ...names.map((name) => `${name}:${signed[name]}`), "", names.join(";"), sha256(body)].join("\n");
  const scope = [date.slice(0, 8), region, service, "aws4_request"];
  const key = scope.reduce(hmac, `AWS4${credentials.secretKey}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", date, scope.join("/"), sha256(canonical)].join("\n")).toString("hex");
  const credential = `Credential=${credentials.accessKey}/${scope.join("/")}`;
  const authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  delete signed.host; // fetch sends it
  return { ...headers, ...signed, authorization };
}

async function send(request) {
  const { method, url, body } = request;
  return fetch(url, { method, body, headers: sign(request), redirect: "manual" });
}

async function assumeRole() {
  const region = env.AWS_REGION;
  const own = { accessKey: env.AWS_ACCESS_KEY_ID, secretKey: env.AWS_SECRET_ACCESS_KEY, token: env.AWS_SESSION_TOKEN };
  const body = new URLSearchParams({
    Action: "AssumeRole", Version: "2011-06-15", RoleArn: env.EXECUTOR_ROLE_ARN, ExternalId: env.EXTERNAL_ID,
    RoleSessionName: env.SESSION_NAME, DurationSeconds: "3600",
  }).toString();
  const response = await send({
    method: "POST", url: env.AWS_ENDPOINT_URL_STS ?? `https://sts.${region}.amazonaws.com/`, body, region, service: "sts",
    headers: { "content-type": "application/x-www-form-urlencoded" }, credentials: own,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`AssumeRole: ${response.status} ${text}`);
  const field = (name) => text.match(`<${name}>([^<]*)<`)[1];
  return { accessKey: field("AccessKeyId"), secretKey: field("SecretAccessKey"), token: field("SessionToken") };
}

const [method, path, body] = process.argv.slice(2);
const response = await send({
  method, url: env.API_URL + path, body, region: env.API_REGION, service: "execute-api",
  headers: { "content-type": "application/json" }, credentials: await assumeRole(),
});
console.log(await response.text());
console.log(response.status);

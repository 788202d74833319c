// caller.go METHOD PATH [BODY]: with the standard library alone; aws-sdk-go-v2's aws/signer/v4 signs the same.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"
)

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// encode writes all but unreserved characters as %XX; url.QueryEscape writes a space as +.
func encode(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// send signs and sends a request, and follows no redirect.
func send(method, target, body, contentType, region, service string, c credentials) (int, string, error) {
	request, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	date := time.Now().UTC().Format("20060102T150405Z")
	headers := "host:" + request.URL.Host + "\nx-amz-date:" + date + "\n"
	names := "host;x-amz-date"
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("X-Amz-Date", date)
	if c.SessionToken != "" {
		request.Header.Set("X-Amz-Security-Token", c.SessionToken)
		headers += "x-amz-security-token:" + c.SessionToken + "\n"
		names += ";x-amz-security-token"
	}
	segments := strings.Split("/"+strings.TrimPrefix(request.URL.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		segments[i] = encode(segment)
	}
	var query []string
	for name, values := range request.URL.Query() {
		for _, value := range values {
			query = append(query, encode(name)+"\x00"+encode(value))
		}
	}
	sort.Strings(query) // by name, then by value: no character of a name comes before \x00
	canonical := strings.Join([]string{method, strings.Join(segments, "/"), strings.ReplaceAll(strings.Join(query, "&"), "\x00", "="), headers, names, hash(body)}, "\n")
	scope := []string{date[:8], region, service, "aws4_request"}
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range scope {
		key = mac(key, part)
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256", date, strings.Join(scope, "/"), hash(canonical)}, "\n")
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		c.AccessKeyID, strings.Join(scope, "/"), names, mac(key, text)))
	client := http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

func assumeRole() (credentials, error) {
	var result struct {
		Credentials credentials `xml:"AssumeRoleResult>Credentials"`
	}
	region, endpoint := os.Getenv("AWS_REGION"), os.Getenv("AWS_ENDPOINT_URL_STS")
	if endpoint == "" {
		endpoint = "https://sts." + region + ".amazonaws.com/"
	}
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "DurationSeconds": {"3600"},
		"RoleArn": {os.Getenv("EXECUTOR_ROLE_ARN")}, "ExternalId": {os.Getenv("EXTERNAL_ID")}, "RoleSessionName": {os.Getenv("SESSION_NAME")}}
	own := credentials{os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")}
	status, text, err := send("POST", endpoint, form.Encode(), "application/x-www-form-urlencoded", region, "sts", own)
	if err == nil && status != 200 {
		err = fmt.Errorf("AssumeRole: %d %s", status, text)
	}
	if err == nil {
		err = xml.Unmarshal([]byte(text), &result)
	}
	return result.Credentials, err
}

func main() {
	session, err := assumeRole()
	status, content, body := 0, "", strings.Join(os.Args[3:], "")
	if err == nil {
		status, content, err = send(os.Args[1], os.Getenv("API_URL")+os.Args[2], body, "application/json", os.Getenv("API_REGION"), "execute-api", session)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(content)
	fmt.Println(status)
}

// Client.exe URL TOKEN FILE...   adds the members in each FILE
using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Threading.Tasks;

static class Client
{
    static async Task Add(string url, string token, string[] files)
    {
        using (var client = new HttpClient { Timeout = TimeSpan.FromSeconds(20) })
        {
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", token);
            foreach (var file in files)
            {
                var form = new Dictionary<string, string> { { "queuemember", File.ReadAllText(file) } };
                var response = await client.PostAsync(url, new FormUrlEncodedContent(form));
                var body = await response.Content.ReadAsStringAsync();
                Console.Write("{0} {1}\n", body, (int)response.StatusCode);
            }
        }
    }

    static void Main(string[] args)
    {
        var files = new List<string>(args).GetRange(2, args.Length - 2).ToArray();
        Add(args[0], args[1], files).GetAwaiter().GetResult();
    }
}
